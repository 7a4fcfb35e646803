// Package artifact is what a compile leaves behind: a folder that is a whole model, ready to run.
//
//	model.o, model.so     object code; it needs no library
//	model.ptx             in the place of both, for a GPU
//	model.h               the C interface, with this model's sizes as macros
//	weights.safetensors   the packed weights, an ordinary safetensors file whose data begins at a page boundary
//	manifest.json         what was compiled from what, for which CPU, every size, and the checksum of every file
//	tokenizer.json        as it lay beside the checkpoint, if it did
//
// A Writer fills the folder under a temporary name and gives it its own at the end, in one step, so that a compile that is killed
// leaves either the old artefact or none. The same model, options and tools give the same bytes: no time, path or host name is in any
// of the files.
//
// A Manifest is read strictly: an unknown version, field, or a size that cannot be is refused with its name, since files have to
// load next year too, or say why they do not.
package artifact
