package runtime

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// A state file holds the state of one sequence, and which model it belongs to. Little-endian:
//
//	0   8  "ssmstate"
//	8   4  version, 1
//	12  4  n: tokens that were generated but not yet taken in
//	16  8  tokens that the sequence has had
//	24  8  bytes of the state
//	32 32  SHA-256 of the model's weights file
//	64     n ids of 4 bytes, the state, the SHA-256 of all before it
//
// The state's layout is that of the object code, so the object code's checksum is not needed: a model compiled with other sizes has another slot size,
// and one with other weights another checksum.
const (
	stateMagic   = "ssmstate"
	stateVersion = 1
	stateHeader  = 64
	maxPending   = 1 << 16
)

// order is that of all numbers in files.
var order = binary.LittleEndian

// Save writes the state to a file, and with it tokens that come next but were not taken in yet (of a generation: the last one).
// The file appears when it is whole.
func (s *Slot) Save(path string, pending []int32) error {
	if len(pending) > maxPending {
		return fmt.Errorf("saving a state: %d tokens are pending, at most %d can be stored", len(pending), maxPending)
	}
	var b bytes.Buffer
	err := s.use(func() error {
		sum, err := hex.DecodeString(s.model.Manifest.Weights.SHA256)
		if err != nil {
			return err
		}
		state, err := s.read()
		if err != nil {
			return err
		}
		b.WriteString(stateMagic)
		b.Write(order.AppendUint32(nil, stateVersion))
		b.Write(order.AppendUint32(nil, uint32(len(pending))))
		b.Write(order.AppendUint64(nil, uint64(s.tokens)))
		b.Write(order.AppendUint64(nil, uint64(len(state))))
		b.Write(sum)
		for _, id := range pending {
			b.Write(order.AppendUint32(nil, uint32(id)))
		}
		b.Write(state)
		return nil
	})
	if err != nil {
		return fmt.Errorf("saving a state: %w", err)
	}
	check := sha256.Sum256(b.Bytes())
	b.Write(check[:])
	if err := replaceFile(path, b.Bytes()); err != nil {
		return fmt.Errorf("saving a state: %w", err)
	}
	return nil
}

// replaceFile writes a file under a temporary name and renames it.
func replaceFile(path string, data []byte) error {
	temporary := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%08x.tmp", filepath.Base(path), rand.Uint32()))
	err := os.WriteFile(temporary, data, 0o666)
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		os.Remove(temporary)
	}
	return err
}

// Load restores the state from a file that Save wrote, and gives the tokens that were pending. If the file is not right the slot stays as it is.
func (s *Slot) Load(path string) (pending []int32, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	slotBytes := s.model.Manifest.Sizes.SlotBytes
	limit := stateHeader + 4*maxPending + slotBytes + sha256.Size
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	tokens, pending, state, err := parseState(data, s.model.Manifest.Weights.SHA256, slotBytes)
	if err == nil {
		err = s.checkPending(pending)
	}
	if err != nil {
		return nil, fmt.Errorf("state file %s: %w", path, err)
	}
	return pending, s.use(func() error {
		s.tokens = tokens
		return s.model.engine.writeSlot(s.index, state)
	})
}

func (s *Slot) checkPending(pending []int32) error {
	for _, id := range pending {
		if id < 0 || int(id) >= s.model.Manifest.Model.Vocab {
			return fmt.Errorf("token %d is outside of the vocabulary of %d", id, s.model.Manifest.Model.Vocab)
		}
	}
	return nil
}

// parseState reads a state file for the model with these weights and slots.
func parseState(data []byte, weightsSHA256 string, slotBytes int64) (tokens int64, pending []int32, state []byte, err error) {
	const fix = "\n  fix: start without it, or from a file that this model saved"
	fail := func(format string, args ...any) (int64, []int32, []byte, error) {
		return 0, nil, nil, fmt.Errorf(format+fix, args...)
	}
	if len(data) < stateHeader+sha256.Size || string(data[:8]) != stateMagic {
		return fail("is not a saved state")
	}
	if v := order.Uint32(data[8:]); v != stateVersion {
		return fail("version %d is unknown, this ssmc reads %d", v, stateVersion)
	}
	n := int64(order.Uint32(data[12:]))
	size := order.Uint64(data[24:])
	if sum := hex.EncodeToString(data[32:64]); sum != weightsSHA256 || size != uint64(slotBytes) {
		return fail("was saved by another model (weights %.12s..., %d bytes; this one has %.12s..., %d)", sum, size, weightsSHA256, slotBytes)
	}
	if n > maxPending || int64(len(data)) != stateHeader+4*n+slotBytes+sha256.Size {
		return fail("has %d bytes, its header promises %d", len(data), stateHeader+4*n+slotBytes+sha256.Size)
	}
	body := data[:len(data)-sha256.Size]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], data[len(body):]) {
		return fail("is damaged: its checksum does not fit")
	}
	tokens = int64(order.Uint64(data[16:]))
	if tokens < 0 {
		return 0, nil, nil, errors.New("has a negative number of tokens")
	}
	for i := range n {
		pending = append(pending, int32(order.Uint32(data[stateHeader+4*i:])))
	}
	return tokens, pending, body[stateHeader+4*n:], nil
}
