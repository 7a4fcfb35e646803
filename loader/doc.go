// Package loader opens a checkpoint, a folder or one file as it is published, and gives its tensors and its configuration.
//
// A checkpoint is a folder with config.json and the weights as safetensors: model.safetensors, or shards that
// model.safetensors.index.json names. Open reads the configuration and maps every weight file into memory, read-only;
// a Tensor's Data points into that mapping, so that opening 11 GB costs a few pages until somebody reads a tensor,
// and Release gives its pages back when its user is done. What the tensors mean is not known here: loader/family knows.
//
//	checkpoint, err := loader.Open("mamba-130m")
//	width := checkpoint.Config.Size("hidden_size", 768)
//	embedding, ok := checkpoint.Tensor("backbone.embeddings.weight")
//	values, err := embedding.Float32()
//
// The files come from strangers. Each size, offset, count and name in them is checked before it is used: a damaged or
// hostile file gives an error, never a panic, and never an allocation that its own size does not justify. Because of that the
// package has its own JSON scanner (json.go), which refuses duplicate keys, limits depth, and works without building a tree.
// Two things it cannot protect from: a file that is changed while it is mapped changes under the reader, and one that is
// cut short under it ends the process with SIGBUS, as for every program that maps files.
//
// Errors list all problems that were found, not the first (Problems): where, what, and how to put it right. The getters of
// Config collect theirs in the same way, so that a family can read its whole configuration, check its tensors, and report once.
//
// The other files here are the neighbours of that: write.go writes safetensors (results of runs, packed weights), npy.go reads
// NumPy arrays as inputs, widen.go converts between the stored number formats and float32.
package loader
