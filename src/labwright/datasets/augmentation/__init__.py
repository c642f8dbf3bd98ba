"""Random changes of training images, made of whole batches where the model is; `labwright.datasets` has the names."""
