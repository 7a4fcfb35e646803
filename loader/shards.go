package loader

import (
	"fmt"
	"path/filepath"
	"sort"
	"strings"
)

// indexLimit is how long an index may be. An index has about 100 bytes a tensor.
const indexLimit = 64 << 20

// shardIndex is a model.safetensors.index.json: for each tensor the file that holds it.
type shardIndex struct {
	shardOf map[string]string
	shards  []string // sorted
}

// parseIndex reads the text of an index: {"metadata": {...}, "weight_map": {"tensor name": "file name"}}. Every file name that
// is not a plain name of a safetensors file beside the index is a problem: the index comes from a stranger, and must not lead elsewhere.
func parseIndex(file string, data []byte) (*shardIndex, error) {
	index := &shardIndex{shardOf: make(map[string]string)}
	known := make(map[string]string) // one copy of each file name, not one a tensor
	var problems Problems
	s := scanner{data: data, floats: true}
	err := s.object(func(key string, _ int) error {
		if key != "weight_map" {
			return s.skip() // "metadata": its total_size is often wrong, the files themselves decide
		}
		return s.object(func(tensor string, at int) error {
			shard, err := s.str()
			if err != nil {
				return err
			}
			name, seen := known[shard]
			if !seen {
				name = shard
				known[shard] = shard
				if why := badShardName(shard); why != "" {
					problems.Add(file, fmt.Sprintf("tensor %s is in file %s, which %s (byte %d)", quote(tensor), quote(shard), why, at),
						"the index is wrong or hostile: get it again from the model's page")
				} else {
					index.shards = append(index.shards, shard)
				}
			}
			index.shardOf[tensor] = name
			return nil
		})
	})
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return nil, jsonProblem(file, data, err)
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	if len(index.shardOf) == 0 {
		return nil, problem(file, `"weight_map" is missing or empty`, "get the index again from the model's page")
	}
	sort.Strings(index.shards)
	return index, nil
}

// badShardName says what is wrong with a file name of an index; "" if it may be opened.
func badShardName(name string) string {
	switch {
	case strings.ContainsAny(name, "/\\\x00"):
		return "is not a plain file name"
	case filepath.Ext(name) != ".safetensors" || name == ".safetensors":
		return "is not a .safetensors file"
	case len(name) > 255:
		return "has too long a name"
	}
	return ""
}

// openShards maps the files that the index names, and checks that the index and the files agree on every tensor.
func (c *Checkpoint) openShards(path string, problems *Problems) {
	data, err := readSmall(path, indexLimit)
	if err != nil {
		problems.AddError(err)
		return
	}
	index, err := parseIndex(path, data)
	if err != nil {
		problems.AddError(err)
		return
	}
	c.sources = append(c.sources, indexName)
	failed := false
	for _, shard := range index.shards {
		file, err := OpenFile(filepath.Join(c.Dir, shard))
		if err != nil {
			problems.AddError(err)
			failed = true
			continue
		}
		c.files = append(c.files, file)
		c.sources = append(c.sources, shard)
		c.addShard(shard, file, index, problems)
	}
	if !failed { // else every tensor of the shard that failed would be listed once more
		c.checkIndex(path, index, problems)
	}
}

// addShard takes the tensors of one shard.
func (c *Checkpoint) addShard(shard string, file *File, index *shardIndex, problems *Problems) {
	for _, t := range file.Tensors() {
		where := file.Path + ": tensor " + quote(t.Name)
		if other, ok := c.tensors[t.Name]; ok {
			problems.Add(where, "is also in "+other.File, "the shards are not of one checkpoint: get them again")
			continue
		}
		if said, ok := index.shardOf[t.Name]; !ok {
			problems.Add(where, "is not in "+indexName, "index and shards are not of one checkpoint: get them again")
		} else if said != shard {
			problems.Add(where, fmt.Sprintf("should be in %s, as %s says", quote(said), indexName), "index and shards are not of one checkpoint: get them again")
		}
		c.tensors[t.Name] = t
	}
}

// checkIndex notes the tensors that the index names and no shard has.
func (c *Checkpoint) checkIndex(path string, index *shardIndex, problems *Problems) {
	var missing []string
	for name := range index.shardOf {
		if _, ok := c.tensors[name]; !ok {
			missing = append(missing, name)
		}
	}
	sort.Strings(missing)
	for _, name := range missing {
		problems.Add(path, fmt.Sprintf("tensor %s is not in %s", quote(name), index.shardOf[name]), "index and shards are not of one checkpoint: get them again")
	}
}
