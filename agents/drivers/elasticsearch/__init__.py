"""Elasticsearch and OpenSearch: every index as lines that `elasticdump` knows, too, and what belongs to no index."""
