package tokenizer

// trie holds strings byte by byte. Its size is that of the strings, so a file cannot ask for more than it has.
type trie struct {
	next  map[uint64]int32 // node<<8 | byte to node
	root  [256]int32       // the first step, which is taken most
	value []int32          // of each node; noValue where no string ends
}

const noValue = -1

func newTrie() *trie {
	return &trie{next: make(map[uint64]int32), value: []int32{noValue}}
}

// insert gives s a value and reports the one it had.
func (t *trie) insert(s string, value int32) (had int32) {
	node := int32(0)
	for i := range len(s) {
		child, ok := t.step(node, s[i])
		if !ok {
			child = int32(len(t.value))
			t.value = append(t.value, noValue)
			if node == 0 {
				t.root[s[i]] = child
			} else {
				t.next[uint64(node)<<8|uint64(s[i])] = child
			}
		}
		node = child
	}
	had, t.value[node] = t.value[node], value
	return had
}

func (t *trie) step(node int32, b byte) (int32, bool) {
	if node == 0 {
		child := t.root[b]
		return child, child != 0
	}
	child, ok := t.next[uint64(node)<<8|uint64(b)]
	return child, ok
}

// longest finds the longest string of the trie that text begins with; size is 0 if there is none.
func (t *trie) longest(text string) (value int32, size int) {
	node := int32(0)
	for i := range len(text) {
		var ok bool
		if node, ok = t.step(node, text[i]); !ok {
			break
		}
		if t.value[node] != noValue {
			value, size = t.value[node], i+1
		}
	}
	return value, size
}
