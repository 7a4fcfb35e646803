package loader

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// File is one safetensors file, mapped into memory read-only.
type File struct {
	Path     string
	Size     int64
	Metadata map[string]string // the header's "__metadata__"; may be nil

	tensors []Tensor // sorted by name
	data    []byte   // the mapping; nil after Close
}

// OpenFile maps a safetensors file and checks its header. It reads no tensor.
func OpenFile(path string) (*File, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var data []byte
	if size > 0 { // mmap refuses 0 bytes; parseHeader says it better
		data, err = unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_PRIVATE)
		if err != nil {
			return nil, problem(path, fmt.Sprintf("mapping its %d bytes into memory: %v", size, err), "")
		}
	}
	file, err := parse(path, data)
	if err != nil {
		if data != nil {
			unix.Munmap(data)
		}
		return nil, err
	}
	return file, nil
}

// parse is OpenFile on bytes that are in memory.
func parse(path string, data []byte) (*File, error) {
	h, err := parseHeader(path, data)
	if err != nil {
		return nil, err
	}
	sort.Slice(h.tensors, func(i, j int) bool { return h.tensors[i].Name < h.tensors[j].Name })
	return &File{Path: path, Size: int64(len(data)), Metadata: h.metadata, tensors: h.tensors, data: data}, nil
}

// Tensors gives all tensors, sorted by name. The slice belongs to the file.
func (f *File) Tensors() []Tensor { return f.tensors }

// Tensor finds a tensor by name.
func (f *File) Tensor(name string) (Tensor, bool) {
	i := sort.Search(len(f.tensors), func(i int) bool { return f.tensors[i].Name >= name })
	if i == len(f.tensors) || f.tensors[i].Name != name {
		return Tensor{}, false
	}
	return f.tensors[i], true
}

// Release tells the kernel that the tensor's pages are not needed for now, so that reading a large checkpoint tensor by tensor
// keeps one tensor resident. The data stays valid: reading it again loads it from the file again.
func (f *File) Release(t Tensor) {
	page := int64(os.Getpagesize())
	begin := t.Offset / page * page
	end := min((t.Offset+int64(len(t.Data))+page-1)/page*page, int64(len(f.data)))
	if t.File != f.Path || begin >= end {
		return
	}
	// Advice only: where it fails the pages stay, which costs memory but is not wrong.
	_ = unix.Madvise(f.data[begin:end], unix.MADV_DONTNEED)
}

// Close unmaps the file. No tensor of it may be used afterwards.
func (f *File) Close() error {
	data := f.data
	f.data, f.tensors = nil, nil
	if data == nil {
		return nil
	}
	if err := unix.Munmap(data); err != nil {
		return problem(f.Path, fmt.Sprintf("unmapping: %v", err), "")
	}
	return nil
}

// openRegular opens a regular file for reading and gives its size. Symbolic links are followed (Hugging Face's cache is
// made of them); a device or pipe is refused before it is opened, as opening it could block.
func openRegular(path string) (*os.File, int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, pathProblem(path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, 0, problem(path, "is not a regular file", "give a file, or a checkpoint's folder")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, pathProblem(path, err)
	}
	if info, err = f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, 0, problem(path, "changed while it was opened", "")
	}
	return f, info.Size(), nil
}

// pathProblem says in the user's terms why a path cannot be opened.
func pathProblem(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return problem(path, "no such file or folder", "check the path")
	case errors.Is(err, fs.ErrPermission):
		return problem(path, "may not be read (permission denied)", "give yourself read permission")
	case errors.Is(err, unix.ELOOP):
		return problem(path, "its symbolic links form a loop", "replace the link by the file that it should point to")
	}
	var inner *fs.PathError
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return problem(path, err.Error(), "")
}

// readSmall reads a whole file of at most limit bytes.
func readSmall(path string, limit int64) ([]byte, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > limit {
		return nil, problem(path, fmt.Sprintf("has %d bytes, more than the %d that such a file may have", size, limit), "check that this is the right file")
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, pathProblem(path, err)
	}
	return data, nil
}

// fixConvert says how to make a safetensors file of a PyTorch one.
func fixConvert(file string) string {
	return strings.ReplaceAll(`convert it once where PyTorch is: python3 -c "import torch, safetensors.torch as s; `+
		`w = torch.load('FILE', map_location='cpu', weights_only=True); `+
		`s.save_file({k: v.clone().contiguous() for k, v in w.items()}, 'model.safetensors')"`, "FILE", file)
}
