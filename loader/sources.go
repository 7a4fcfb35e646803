package loader

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
)

// Source is a file that a checkpoint was read from, as a manifest records it. It has no folder, so that the manifest is the same everywhere.
type Source struct {
	Name   string // base name
	Bytes  int64
	SHA256 string // hexadecimal
}

// Sources reads all files of the checkpoint once more, as a stream, and gives their checksums, sorted by name.
func (c *Checkpoint) Sources(ctx context.Context) ([]Source, error) {
	sources := make([]Source, 0, len(c.sources))
	buffer := make([]byte, 1<<20)
	for _, name := range c.sources {
		source, err := hashFile(ctx, filepath.Join(c.Dir, name), buffer)
		if err != nil {
			return nil, err
		}
		sources = append(sources, source)
	}
	return sources, nil
}

// hashFile is the checksum of one file, read by way of buffer.
func hashFile(ctx context.Context, path string, buffer []byte) (Source, error) {
	f, _, err := openRegular(path)
	if err != nil {
		return Source{}, err
	}
	defer f.Close()
	sum := sha256.New()
	source := Source{Name: filepath.Base(path)}
	for {
		if err := ctx.Err(); err != nil {
			return Source{}, fmt.Errorf("checksum of %s: %w", path, err)
		}
		n, err := f.Read(buffer)
		sum.Write(buffer[:n])
		source.Bytes += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Source{}, pathProblem(path, err)
		}
	}
	source.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return source, nil
}
