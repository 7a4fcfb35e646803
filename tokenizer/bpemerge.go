package tokenizer

// symbol is a token of the word that is being merged, in a linked list. The right part of a merge gets id noToken.
type symbol struct {
	id         int32
	prev, next int32 // -1 at the ends
}

// bpeWork merges one word. The heap makes it n log n, so that a whole text without blanks is no problem.
type bpeWork struct {
	symbols []symbol
	heap    []uint64 // rank<<32 | place of the left symbol; the smallest first, so of equal ranks the leftmost
}

func (w *bpeWork) reset() { w.symbols, w.heap = w.symbols[:0], w.heap[:0] }

func (w *bpeWork) add(id int32) {
	n := int32(len(w.symbols))
	if n > 0 {
		w.symbols[n-1].next = n
	}
	w.symbols = append(w.symbols, symbol{id: id, prev: n - 1, next: -1})
}

// mergeAll merges until no pair of neighbours is in the table. Entries of the heap whose symbols have changed since are told by their result: one that fits what now stands
// there is carried out all the same, at its old rank, as the library does.
func (w *bpeWork) mergeAll(m *bpe) {
	for i := 0; i+1 < len(w.symbols); i++ {
		if rank, ok := m.merges[pairKey(w.symbols[i].id, w.symbols[i+1].id)]; ok {
			w.heap = append(w.heap, uint64(rank)<<32|uint64(i))
		}
	}
	for i := len(w.heap)/2 - 1; i >= 0; i-- {
		w.down(i)
	}
	for len(w.heap) > 0 {
		top := w.pop()
		at, result := int32(top&0xFFFFFFFF), m.merged[top>>32]
		left := &w.symbols[at]
		if left.id == noToken || left.next < 0 {
			continue
		}
		right := &w.symbols[left.next]
		if rank, ok := m.merges[pairKey(left.id, right.id)]; !ok || m.merged[rank] != result {
			continue
		}
		left.id, right.id, left.next = result, noToken, right.next
		if left.next >= 0 {
			w.symbols[left.next].prev = at
		}
		if left.prev >= 0 {
			w.offer(m, left.prev, w.symbols[left.prev].id, result)
		}
		if left.next >= 0 {
			w.offer(m, at, result, w.symbols[left.next].id)
		}
	}
}

func (w *bpeWork) offer(m *bpe, at, left, right int32) {
	if rank, ok := m.merges[pairKey(left, right)]; ok {
		w.push(uint64(rank)<<32 | uint64(at))
	}
}

func (w *bpeWork) push(v uint64) {
	w.heap = append(w.heap, v)
	i := len(w.heap) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if w.heap[parent] <= v {
			break
		}
		w.heap[i] = w.heap[parent]
		i = parent
	}
	w.heap[i] = v
}

func (w *bpeWork) pop() uint64 {
	top, last := w.heap[0], len(w.heap)-1
	w.heap[0] = w.heap[last]
	w.heap = w.heap[:last]
	if last > 0 {
		w.down(0)
	}
	return top
}

func (w *bpeWork) down(i int) {
	v := w.heap[i]
	for {
		child := 2*i + 1
		if child >= len(w.heap) {
			break
		}
		if child+1 < len(w.heap) && w.heap[child+1] < w.heap[child] {
			child++
		}
		if v <= w.heap[child] {
			break
		}
		w.heap[i] = w.heap[child]
		i = child
	}
	w.heap[i] = v
}
