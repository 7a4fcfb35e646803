package artifact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// Writer fills the folder of an artefact under a temporary name beside its own.
type Writer struct {
	dir       string   // where the artefact will be
	temporary string   // where it is until Commit; "" afterwards
	lock      *os.File // the temporary folder, locked: others can tell it from one that a killed compile left
	files     []Source
}

// temporaryMark is in the names of temporary folders.
const temporaryMark = ".ssmc-partial-"

// Begin makes the temporary folder. It fails early where Commit would fail: when dir is something that is not an artefact.
// What killed compiles to the same dir left behind is removed.
func Begin(dir string) (*Writer, error) {
	dir = filepath.Clean(dir)
	if target, err := filepath.EvalSymlinks(dir); err == nil {
		dir = target
	}
	if err := replaceable(dir); err != nil {
		return nil, err
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o777); err != nil {
		return nil, fmt.Errorf("making the folder of %s: %w", dir, err)
	}
	removeStale(dir)
	w := &Writer{dir: dir}
	for w.temporary == "" {
		name := filepath.Join(parent, fmt.Sprintf(".%s%s%08x", filepath.Base(dir), temporaryMark, rand.Uint32()))
		err := os.Mkdir(name, 0o777)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("making %s: %w", dir, err)
		}
		w.temporary = name
	}
	lock, err := lockFolder(w.temporary)
	if err != nil {
		w.Abort()
		return nil, fmt.Errorf("making %s: %w", dir, err)
	}
	w.lock = lock
	return w, nil
}

// replaceable says whether dir may be written: it is not there, empty, or an artefact.
func replaceable(dir string) error {
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is a file, not a folder\n  fix: give -o another name", dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(dir, ManifestFile))
	if err != nil || !bytes.Contains(text, []byte(`"`+Format+`"`)) {
		return fmt.Errorf("%s is a folder that ssmc did not write: it is not replaced\n  fix: give -o another name, or empty the folder", dir)
	}
	return nil
}

// lockFolder opens a folder and takes its lock, if nobody has it.
func lockFolder(name string) (*os.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// removeStale removes the temporary folders of dir that no living compile has locked. That it cannot is no reason to fail.
func removeStale(dir string) {
	entries, err := os.ReadDir(filepath.Dir(dir))
	if err != nil {
		return
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), "."+filepath.Base(dir)+temporaryMark) {
			continue
		}
		name := filepath.Join(filepath.Dir(dir), e.Name())
		if lock, err := lockFolder(name); err == nil {
			os.RemoveAll(name)
			lock.Close()
		}
	}
}

// Add writes one file.
func (w *Writer) Add(name string, data []byte) error {
	if err := os.WriteFile(filepath.Join(w.temporary, name), data, 0o666); err != nil {
		return fmt.Errorf("writing %s of %s: %w", name, w.dir, err)
	}
	entry, err := hash(context.Background(), name, bytes.NewReader(data), nil)
	w.files = append(w.files, entry)
	return err
}

// Commit completes the manifest with the list of files, writes it and the header, and gives the folder its name.
func (w *Writer) Commit(m *Manifest) error {
	header, err := Header(m)
	if err != nil {
		return err
	}
	if err := w.Add(HeaderFile, header); err != nil {
		return err
	}
	sort.Slice(w.files, func(i, j int) bool { return w.files[i].Name < w.files[j].Name })
	m.Files = w.files
	text, err := m.Encode()
	if err != nil {
		return fmt.Errorf("manifest of %s: %w", w.dir, err)
	}
	if err := os.WriteFile(filepath.Join(w.temporary, ManifestFile), text, 0o666); err != nil {
		return fmt.Errorf("writing %s: %w", w.dir, err)
	}
	if err := replaceable(w.dir); err != nil { // it may have become something else meanwhile
		return err
	}
	if err := w.rename(); err != nil {
		return fmt.Errorf("writing %s: %w", w.dir, err)
	}
	return nil
}

// rename gives the folder its name. An old artefact changes names with it in one step, and then goes.
func (w *Writer) rename() error {
	err := os.Rename(w.temporary, w.dir) // also replaces an empty folder
	if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTEMPTY) {
		if err = unix.Renameat2(unix.AT_FDCWD, w.temporary, unix.AT_FDCWD, w.dir, unix.RENAME_EXCHANGE); err == nil {
			os.RemoveAll(w.temporary)
		} else if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
			err = w.renameTwice()
		}
	}
	if err == nil {
		w.temporary = ""
		w.lock.Close()
	}
	return err
}

// renameTwice is for file systems that cannot exchange two names: for a moment there is no artefact.
func (w *Writer) renameTwice() error {
	old := w.temporary + "-old"
	if err := os.Rename(w.dir, old); err != nil {
		return err
	}
	if err := os.Rename(w.temporary, w.dir); err != nil {
		return errors.Join(err, os.Rename(old, w.dir))
	}
	return os.RemoveAll(old)
}

// Abort removes the temporary folder. After Commit it does nothing, so that it can be deferred.
func (w *Writer) Abort() {
	if w.temporary == "" {
		return
	}
	os.RemoveAll(w.temporary)
	w.temporary = ""
	if w.lock != nil {
		w.lock.Close()
	}
}
