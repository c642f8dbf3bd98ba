"""What datasets are packed from: folders of classes, CSV manifests, Hugging Face datasets, IDX files, other shards."""
