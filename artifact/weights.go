package artifact

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ssmc/ssmc/loader"
)

// Piece is one tensor of the packed weights, in the order of the file.
type Piece struct {
	Name  string
	DType string // as safetensors has it
	Shape []int
	Bytes int64
	// Fill writes the bytes from from on into dst. It is called with ascending from, by one goroutine at a time.
	Fill func(dst []byte, from int64) error
}

const (
	weightsAlign = 4096      // the data section begins at a page, so that the mapped file is aligned as kernels want it
	chunkBytes   = 16 << 20  // packed at a time
	chunksAhead  = 2         // packed while one is written: at most 48 MB are held
	hashBuffer   = 256 << 10 // read at a time for a checksum
)

// AddWeights packs and writes the weights file. progress, which may be nil, is told how many bytes are done.
// It returns the mode-less entry of the manifest: size of the data and checksum of the file.
func (w *Writer) AddWeights(ctx context.Context, pieces []Piece, progress func(done int64)) (Weights, error) {
	tensors := make([]loader.Tensor, len(pieces))
	total := int64(0)
	for i, p := range pieces {
		d, err := loader.ParseDType(p.DType)
		if err != nil {
			return Weights{}, fmt.Errorf("packing %q: %w", p.Name, err)
		}
		tensors[i] = loader.Tensor{Name: p.Name, DType: d, Shape: p.Shape}
		if int64(tensors[i].Elements())*int64(d.Size()) != p.Bytes {
			return Weights{}, fmt.Errorf("packing %q: %s %v is not of %d bytes", p.Name, p.DType, p.Shape, p.Bytes)
		}
		total += p.Bytes
	}
	path := filepath.Join(w.temporary, WeightsFile)
	out, err := loader.NewStreamWriter(path, tensors, map[string]string{"format": Format}, weightsAlign)
	if err != nil {
		return Weights{}, err
	}
	defer out.Abort()
	if err := stream(ctx, out, pieces, progress); err != nil {
		return Weights{}, err
	}
	if err := out.Commit(); err != nil {
		return Weights{}, err
	}
	entry, err := hashFile(ctx, path, nil)
	if err != nil {
		return Weights{}, err
	}
	w.files = append(w.files, entry)
	return Weights{Bytes: total, SHA256: entry.SHA256}, nil
}

// chunk is a part of the packed weights, or why it could not be made.
type chunk struct {
	data []byte
	err  error
}

// stream packs in one goroutine and writes in another, so that neither waits for the disk or the arithmetic of the other.
func stream(ctx context.Context, out io.Writer, pieces []Piece, progress func(done int64)) error {
	chunks := make(chan chunk, chunksAhead)
	packing, cancel := context.WithCancel(ctx)
	defer func() { // the packer reads mapped memory: it must have ended before the caller goes on
		cancel()
		for range chunks {
		}
	}()
	free := make(chan []byte, chunksAhead+1)
	for range chunksAhead + 1 {
		free <- nil // made when first needed
	}
	go pack(packing, pieces, chunks, free)
	done := int64(0)
	for c := range chunks {
		if c.err != nil {
			return c.err
		}
		if _, err := out.Write(c.data); err != nil {
			return err
		}
		done += int64(len(c.data))
		free <- c.data
		if progress != nil {
			progress(done)
		}
	}
	return ctx.Err()
}

// pack fills chunks in the order of the file and closes the channel at the end. A small piece is a chunk of its own.
func pack(ctx context.Context, pieces []Piece, chunks chan<- chunk, free <-chan []byte) {
	defer close(chunks)
	send := func(c chunk) bool {
		select {
		case chunks <- c:
			return c.err == nil
		case <-ctx.Done():
			return false
		}
	}
	for _, p := range pieces {
		for from := int64(0); from < p.Bytes; {
			n := min(p.Bytes-from, chunkBytes)
			var data []byte
			select {
			case data = <-free:
			case <-ctx.Done():
				return
			}
			if int64(cap(data)) < n {
				data = make([]byte, chunkSize(n))
			}
			data = data[:n]
			err := p.Fill(data, from)
			if err != nil {
				err = fmt.Errorf("packing %q: %w", p.Name, err)
			}
			if !send(chunk{data, err}) {
				return
			}
			from += n
		}
	}
}

// chunkSize keeps a model of many small pieces from growing its buffers one piece at a time.
func chunkSize(n int64) int64 {
	if n > 1<<20 {
		return chunkBytes
	}
	return 1 << 20
}

// hashFile is the manifest's entry of a file. progress may be nil.
func hashFile(ctx context.Context, path string, progress func(done int64)) (Source, error) {
	f, err := os.Open(path)
	if err != nil {
		return Source{}, err
	}
	defer f.Close()
	return hash(ctx, filepath.Base(path), f, progress)
}
