"""From a folder of documents to the passages that answer a question."""
