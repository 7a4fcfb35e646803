package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

const (
	configName     = "config.json"
	generationName = "generation_config.json"
	weightsName    = "model.safetensors"
	indexName      = "model.safetensors.index.json"
)

// Checkpoint is an open checkpoint: its configuration and its tensors.
type Checkpoint struct {
	Dir        string   // the folder
	Config     *Config  // config.json
	Generation *Config  // generation_config.json; empty if there is none. It shares the Problems of Config
	Names      []string // of all tensors, sorted

	files   []*File // sorted by path
	tensors map[string]Tensor
	sources []string // base names of all files that were read, sorted
}

// Open opens a checkpoint: a folder with config.json and model.safetensors or model.safetensors.index.json (if both are there,
// the single file is taken, as transformers does), or one safetensors file with config.json beside it.
// The error lists everything that is wrong with the files.
func Open(path string) (*Checkpoint, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, pathProblem(path, err)
	}
	c := &Checkpoint{Dir: path, tensors: make(map[string]Tensor)}
	var problems Problems
	single := ""
	if !info.IsDir() {
		c.Dir, single = filepath.Dir(path), filepath.Base(path)
		if err := checkSingle(path); err != nil {
			return nil, err
		}
	}
	c.readConfigs(&problems)
	c.openWeights(single, &problems)
	if err := problems.Err(); err != nil {
		c.Close()
		return nil, err
	}
	for name := range c.tensors {
		c.Names = append(c.Names, name)
	}
	sort.Strings(c.Names)
	sort.Strings(c.sources)
	return c, nil
}

var shardName = regexp.MustCompile(`-\d+-of-\d+\.safetensors$`)

// checkSingle refuses files that cannot be a whole checkpoint.
func checkSingle(path string) error {
	base := filepath.Base(path)
	switch {
	case shardName.MatchString(base):
		return problem(path, "is one shard of a checkpoint", "give the folder: "+filepath.Dir(path))
	case base == configName || base == generationName || strings.HasSuffix(base, ".index.json"):
		return problem(path, "holds no weights", "give the folder: "+filepath.Dir(path))
	case foreignWeights(base):
		return problem(path, "is not a safetensors file", fixConvert(base))
	}
	return nil
}

// foreignWeights says whether a file name is that of weights which PyTorch wrote.
func foreignWeights(base string) bool {
	switch filepath.Ext(base) {
	case ".bin", ".pt", ".pth", ".ckpt":
		return true
	}
	return false
}

// readConfigs reads config.json, and generation_config.json if it is there.
func (c *Checkpoint) readConfigs(problems *Problems) {
	path := filepath.Join(c.Dir, configName)
	config, err := ReadConfig(path)
	if absent(path) {
		err = problem(path, "is missing", "put the model's config.json beside its weights")
	}
	if err != nil {
		problems.AddError(err)
		config = emptyConfig(path, problems)
	}
	c.Config = config
	c.sources = append(c.sources, configName)

	path = filepath.Join(c.Dir, generationName)
	c.Generation = emptyConfig(path, config.problems)
	if absent(path) {
		return
	}
	generation, err := ReadConfig(path)
	if err != nil {
		problems.AddError(err)
		return
	}
	generation.problems = config.problems
	c.Generation = generation
	c.sources = append(c.sources, generationName)
}

// absent says whether nothing of that name is there, not even a broken link.
func absent(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// openWeights maps the weight files: the single one that was asked for, or those that the folder has.
func (c *Checkpoint) openWeights(single string, problems *Problems) {
	index := filepath.Join(c.Dir, indexName)
	switch {
	case single != "":
	case !absent(filepath.Join(c.Dir, weightsName)):
		single = weightsName
	case absent(index):
		problems.AddError(noWeights(c.Dir))
		return
	}
	if single == "" {
		c.openShards(index, problems)
		return
	}
	file, err := OpenFile(filepath.Join(c.Dir, single))
	if err != nil {
		problems.AddError(err)
		return
	}
	c.files = append(c.files, file)
	c.sources = append(c.sources, single)
	for _, t := range file.Tensors() {
		c.tensors[t.Name] = t
	}
}

// noWeights is the error of a folder without weights that can be read. It says what is there instead.
func noWeights(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return pathProblem(dir, err)
	}
	defer f.Close()
	names, err := f.Readdirnames(10_000)
	if err != nil && len(names) > 0 {
		return pathProblem(dir, err)
	}
	sort.Strings(names)
	what := fmt.Sprintf("has neither %s nor %s", weightsName, indexName)
	for _, name := range names {
		if filepath.Ext(name) == ".safetensors" {
			return problem(dir, what, "if the weights are in "+name+", give that file: "+filepath.Join(dir, name))
		}
	}
	for _, name := range names {
		if foreignWeights(name) {
			return problem(dir, what+"; "+name+" is a PyTorch file, which ssmc does not read", fixConvert(name))
		}
	}
	return problem(dir, what, "give the folder that holds config.json and the weights as safetensors")
}

// Tensor finds a tensor by name.
func (c *Checkpoint) Tensor(name string) (Tensor, bool) {
	t, ok := c.tensors[name]
	return t, ok
}

// Files gives the weight files, sorted by path.
func (c *Checkpoint) Files() []*File { return c.files }

// Bytes is the number of bytes of all tensors.
func (c *Checkpoint) Bytes() int64 {
	n := int64(0)
	for _, t := range c.tensors {
		n += int64(len(t.Data))
	}
	return n
}

// Release gives the memory of a tensor's pages back until the tensor is read again; see File.Release.
func (c *Checkpoint) Release(t Tensor) {
	for _, file := range c.files {
		if file.Path == t.File {
			file.Release(t)
		}
	}
}

// EndTokens gives the ids that end generation: eos_token_id of generation_config.json, else of config.json; nil if neither says.
func (c *Checkpoint) EndTokens() []int {
	return c.Generation.Ints("eos_token_id", c.Config.Ints("eos_token_id", nil))
}

// Close unmaps all files. No tensor of the checkpoint may be used afterwards.
func (c *Checkpoint) Close() error {
	var problems Problems
	for _, file := range c.files {
		problems.AddError(file.Close())
	}
	c.files, c.tensors = nil, nil
	return problems.Err()
}
