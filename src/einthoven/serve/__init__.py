"""How is a model asked over the network? A REST API over bundles."""
