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
	chunkBytes   = 16 << 20  // packed and written at a time
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
	if err := stream(ctx, out, out.Start(), pieces, progress); err != nil {
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

// stream packs in one goroutine and writes in another, so that neither waits for the disk or the arithmetic of the other. Chunks begin at multiples of
// their length in the file, whatever the sizes of the pieces: what is written at once is kept in memory in one piece by systems that can, and is mapped in
// huge pages then.
func stream(ctx context.Context, out io.Writer, start int64, pieces []Piece, progress func(done int64)) error {
	p := &packer{chunks: make(chan chunk, chunksAhead), free: make(chan []byte, chunksAhead+1)}
	for range chunksAhead + 1 {
		p.free <- nil // made when first needed
	}
	var cancel context.CancelFunc
	p.ctx, cancel = context.WithCancel(ctx)
	defer func() { // the packer reads mapped memory: it must have ended before the caller goes on
		cancel()
		for range p.chunks {
		}
	}()
	go p.pack(start, pieces)
	done := int64(0)
	for c := range p.chunks {
		if c.err != nil {
			return c.err
		}
		if _, err := out.Write(c.data); err != nil {
			return err
		}
		done += int64(len(c.data))
		p.free <- c.data
		if progress != nil {
			progress(done)
		}
	}
	return ctx.Err()
}

// packer fills chunks.
type packer struct {
	ctx    context.Context
	chunks chan chunk
	free   chan []byte
	data   []byte // the chunk at hand
}

// pack fills chunks in the order of the file, of which start bytes are there, and closes the channel at the end.
func (p *packer) pack(start int64, pieces []Piece) {
	defer close(p.chunks)
	left := int64(0) // bytes of all pieces that are not yet packed
	for _, piece := range pieces {
		left += piece.Bytes
	}
	for _, piece := range pieces {
		for from := int64(0); from < piece.Bytes; {
			if p.data == nil && !p.next(min(left, chunkBytes-start%chunkBytes)) {
				return
			}
			n := min(piece.Bytes-from, int64(cap(p.data)-len(p.data)))
			have := len(p.data)
			p.data = p.data[:have+int(n)]
			if err := piece.Fill(p.data[have:], from); err != nil {
				p.send(chunk{err: fmt.Errorf("packing %q: %w", piece.Name, err)})
				return
			}
			from, start, left = from+n, start+n, left-n
			if len(p.data) == cap(p.data) && !p.send(chunk{data: p.data}) {
				return
			}
		}
	}
}

// next gets memory for n bytes; its capacity ends the chunk.
func (p *packer) next(n int64) bool {
	select {
	case p.data = <-p.free:
	case <-p.ctx.Done():
		return false
	}
	whole := p.data[:cap(p.data)]
	if int64(len(whole)) < n {
		whole = make([]byte, n)
	}
	p.data = whole[:0:n]
	return true
}

// send hands a chunk to the writer. False: the packing is over.
func (p *packer) send(c chunk) bool {
	p.data = nil
	select {
	case p.chunks <- c:
		return c.err == nil
	case <-p.ctx.Done():
		return false
	}
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
