"""What is due and what is kept: pure rules, without a clock, a store or a log."""
