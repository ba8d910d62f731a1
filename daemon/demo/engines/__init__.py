"""The engines that the demo can show, one module each."""
