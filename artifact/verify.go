package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ssmc/ssmc/loader"
)

// hash reads r to its end.
func hash(ctx context.Context, name string, r io.Reader, progress func(done int64)) (Source, error) {
	sum := sha256.New()
	buffer := make([]byte, hashBuffer)
	s := Source{Name: name}
	for {
		if err := ctx.Err(); err != nil {
			return Source{}, fmt.Errorf("checksum of %s: %w", name, err)
		}
		n, err := r.Read(buffer)
		sum.Write(buffer[:n])
		s.Bytes += int64(n)
		if progress != nil {
			progress(s.Bytes)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Source{}, fmt.Errorf("checksum of %s: %w", name, err)
		}
	}
	s.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return s, nil
}

// VerifyFiles compares every file of the artefact in dir with the manifest and reports all that differ. Files that the manifest does not
// name are left out of it. progress, which may be nil, is told how many bytes were read.
func (m *Manifest) VerifyFiles(ctx context.Context, dir string, progress func(done int64)) error {
	var problems loader.Problems
	const fix = "the file was changed or damaged; compile the checkpoint again"
	done := int64(0)
	for _, want := range m.Files {
		path := filepath.Join(dir, want.Name)
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			problems.Add(path, "is missing", "compile the checkpoint again")
			continue
		case err != nil:
			problems.Add(path, err.Error(), "")
			continue
		case !info.Mode().IsRegular():
			problems.Add(path, "is no file", fix)
			continue
		case info.Size() != want.Bytes:
			problems.Add(path, fmt.Sprintf("has %d bytes, the manifest says %d", info.Size(), want.Bytes), fix)
			continue
		}
		got, err := hashFile(ctx, path, func(n int64) {
			if progress != nil {
				progress(done + n)
			}
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch {
		case err != nil:
			problems.Add(path, err.Error(), "")
		case got != want:
			problems.Add(path, fmt.Sprintf("has the checksum %s, the manifest says %s", got.SHA256, want.SHA256), fix)
		}
		done += want.Bytes
	}
	return problems.Err()
}
