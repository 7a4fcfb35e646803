package runtime

import (
	"errors"
	"fmt"
)

// Slot is the state of one sequence: everything that the model remembers of its tokens. The copy of a slot is the copy of a conversation.
type Slot struct {
	model  *Model
	index  int // -1 after Free
	tokens int64
}

// slotTable knows which slots are free. The engine has their memory.
type slotTable struct {
	count int   // slots that there is memory for
	used  int   // slots that were ever given out
	free  []int // of these, the free ones
}

// maxSlots bounds the memory that can be reserved by mistake.
const maxSlots = 1 << 20

var errFreed = errors.New("the slot was freed")

// NewSlot gives an empty slot: the state before the first token.
func (m *Model) NewSlot() (*Slot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.newSlot(true)
}

// newSlot finds a free slot, or makes room for as many again as there are. Fresh memory is zero, a used slot has to be zeroed.
func (m *Model) newSlot(zero bool) (*Slot, error) {
	if m.closed {
		return nil, errClosed
	}
	t := &m.slots
	if n := len(t.free); n > 0 {
		s := &Slot{model: m, index: t.free[n-1]}
		if zero {
			if err := m.engine.clearSlot(s.index); err != nil {
				return nil, err
			}
		}
		t.free = t.free[:n-1]
		return s, nil
	}
	if t.used == t.count {
		count := max(4, 2*t.count)
		if count > maxSlots {
			return nil, fmt.Errorf("more than %d sequences at a time", maxSlots)
		}
		if err := m.engine.growSlots(count); err != nil {
			return nil, err
		}
		t.count = count
	}
	t.used++
	return &Slot{model: m, index: t.used - 1}, nil
}

// read copies the slot's memory.
func (s *Slot) read() ([]byte, error) {
	b := make([]byte, s.model.Manifest.Sizes.SlotBytes)
	return b, s.model.engine.readSlot(b, s.index)
}

// use locks the model for work on the slot's memory.
func (s *Slot) use(work func() error) error {
	s.model.mu.Lock()
	defer s.model.mu.Unlock()
	if s.model.closed {
		return errClosed
	}
	if s.index < 0 {
		return errFreed
	}
	return work()
}

// Tokens is how many tokens the sequence has had.
func (s *Slot) Tokens() int64 { return s.tokens }

// Free gives the slot back.
func (s *Slot) Free() {
	_ = s.use(func() error { // nothing is to be done for a closed model, or a second time
		s.model.slots.free = append(s.model.slots.free, s.index)
		s.index = -1
		return nil
	})
}

// Reset makes the slot empty.
func (s *Slot) Reset() error {
	return s.use(func() error {
		if err := s.model.engine.clearSlot(s.index); err != nil {
			return err
		}
		s.tokens = 0
		return nil
	})
}

// Fork gives a second slot with the same state. The two sequences go on without touching each other.
func (s *Slot) Fork() (*Slot, error) {
	var f *Slot
	err := s.use(func() error {
		m := s.model
		n, err := m.newSlot(false)
		if err != nil {
			return err
		}
		if err := m.engine.copySlot(n.index, s.index); err != nil {
			m.slots.free = append(m.slots.free, n.index)
			return err
		}
		n.tokens = s.tokens
		f = n
		return nil
	})
	return f, err
}

// CopyFrom makes the slot equal to another of the same model.
func (s *Slot) CopyFrom(other *Slot) error {
	return s.use(func() error {
		if other.model != s.model || other.index < 0 {
			return errors.New("the slot to copy from is not one of this model")
		}
		s.tokens = other.tokens
		return s.model.engine.copySlot(s.index, other.index)
	})
}

// Snapshot is a slot's state at one moment. It can be restored any number of times, into any slot of the same model.
type Snapshot struct {
	model  *Model
	data   []byte
	tokens int64
}

// Snapshot copies the state, to roll back to it later.
func (s *Slot) Snapshot() (*Snapshot, error) {
	var snap *Snapshot
	err := s.use(func() error {
		data, err := s.read()
		snap = &Snapshot{s.model, data, s.tokens}
		return err
	})
	return snap, err
}

// Restore rolls the slot back (or forward) to a snapshot, bit for bit.
func (s *Slot) Restore(snap *Snapshot) error {
	return s.use(func() error {
		if snap.model != s.model {
			return errors.New("the snapshot is of another model")
		}
		s.tokens = snap.tokens
		return s.model.engine.writeSlot(s.index, snap.data)
	})
}
