package loader

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"sort"
	"strconv"
)

const (
	configLimit = 8 << 20 // bytes; large real ones (21,000 class labels) have 2 MB
	fixConfig   = "correct the value, or take the file from the model's page again"
)

// Config is an object of a config.json. Its getters take the default of the family when a key is missing or null. What a getter
// finds wrong it adds to Problems and goes on with the default, so that all mistakes of a file are reported at once.
type Config struct {
	file     string // path, for messages
	prefix   string // "ssm_cfg." in the object of that key
	members  map[string][]byte
	problems *Problems
}

// ReadConfig reads a config.json. Bare Infinity, -Infinity and NaN are accepted as numbers, as is {"__float__": "Infinity"}.
func ReadConfig(path string) (*Config, error) {
	data, err := readSmall(path, configLimit)
	if err != nil {
		return nil, err
	}
	return ParseConfig(path, data)
}

// ParseConfig is ReadConfig on text. file is its name in messages.
func ParseConfig(file string, data []byte) (*Config, error) {
	if len(data) > configLimit {
		return nil, problem(file, fmt.Sprintf("has %d bytes, the limit is %d", len(data), configLimit), "")
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, problem(file, "the file is empty", fixDamaged)
	}
	members, err := parseMembers(data)
	if err != nil {
		return nil, jsonProblem(file, data, err)
	}
	return &Config{file: file, members: members, problems: new(Problems)}, nil
}

// emptyConfig has no keys and shares the problems of another.
func emptyConfig(file string, problems *Problems) *Config {
	return &Config{file: file, problems: problems}
}

// parseMembers validates the text of an object and gives the text of each member's value.
func parseMembers(data []byte) (map[string][]byte, error) {
	members := make(map[string][]byte)
	s := scanner{data: data, floats: true}
	err := s.object(func(key string, _ int) error {
		start := s.pos
		if err := s.skip(); err != nil {
			return err
		}
		members[key] = data[start:s.pos:s.pos]
		return nil
	})
	if err == nil {
		err = s.end()
	}
	return members, err
}

// jsonProblem gives a syntax error its line and column.
func jsonProblem(file string, data []byte, err error) error {
	var syntax *syntaxError
	if !errors.As(err, &syntax) {
		return err
	}
	before := data[:min(syntax.at, len(data))]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return problem(file, fmt.Sprintf("line %d, column %d: %s", line, column, syntax.what), "the file must be one JSON object; correct it, or get it again")
}

// Problems is what the getters of this configuration and of its objects have found. A family adds its own.
func (c *Config) Problems() *Problems { return c.problems }

// Where names a key for a message: model/config.json: "ssm_cfg.d_state".
func (c *Config) Where(key string) string { return c.file + ": " + quote(c.prefix+key) }

// Keys gives the keys of the object, sorted.
func (c *Config) Keys() []string {
	keys := make([]string, 0, len(c.members))
	for key := range c.members {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

// Has says whether the key is there and not null.
func (c *Config) Has(key string) bool {
	_, ok := c.value(key)
	return ok
}

func (c *Config) value(key string) ([]byte, bool) {
	raw, ok := c.members[key]
	return raw, ok && string(raw) != "null"
}

// bad notes that a value is not what it should be.
func (c *Config) bad(key string, raw []byte, want string) {
	c.problems.Add(c.Where(key), fmt.Sprintf("is %s, must be %s", excerpt(raw), want), fixConfig)
}

// missing notes that a key that has no default is not there.
func (c *Config) missing(key string) {
	c.problems.Add(c.Where(key), "is missing", fmt.Sprintf("add %s to %s", quote(c.prefix+key), filepath.Base(c.file)))
}

// Int is an integer of at most 31 bits and a sign, so that the product of two of them cannot overflow.
func (c *Config) Int(key string, def int) int {
	raw, ok := c.value(key)
	if !ok {
		return def
	}
	n, ok := parseInt(raw)
	if !ok {
		c.bad(key, raw, "an integer below 2^31")
		return def
	}
	return n
}

// IntRequired is Int for a key without default. When it is missing, that is noted, and the result is 0.
func (c *Config) IntRequired(key string) int {
	if !c.Has(key) {
		c.missing(key)
	}
	return c.Int(key, 0)
}

// IntOrAuto is Int for a key that may also say "auto".
func (c *Config) IntOrAuto(key string, auto int) int {
	if raw, ok := c.value(key); ok && string(raw) == `"auto"` {
		return auto
	}
	return c.Int(key, auto)
}

// Size is an integer that must be 1 or more: a width, a number of layers.
func (c *Config) Size(key string, def int) int {
	raw, ok := c.value(key)
	if !ok {
		return def
	}
	n, ok := parseInt(raw)
	if !ok || n < 1 {
		c.bad(key, raw, "an integer from 1 to 2^31-1")
		return def
	}
	return n
}

// SizeRequired is Size for a key without default. When it is missing, that is noted. When it is missing or wrong the result is 1,
// so that a family can go on and find what else is wrong.
func (c *Config) SizeRequired(key string) int {
	if !c.Has(key) {
		c.missing(key)
	}
	return c.Size(key, 1)
}

// Float is a finite number.
func (c *Config) Float(key string, def float64) float64 {
	raw, ok := c.value(key)
	if !ok {
		return def
	}
	v, ok := parseFloat(raw)
	if !ok || math.IsInf(v, 0) || math.IsNaN(v) {
		c.bad(key, raw, "a finite number")
		return def
	}
	return v
}

// Bool is true or false.
func (c *Config) Bool(key string, def bool) bool {
	raw, ok := c.value(key)
	if !ok {
		return def
	}
	if b := string(raw); b == "true" || b == "false" {
		return b == "true"
	}
	c.bad(key, raw, "true or false")
	return def
}

// String is a string.
func (c *Config) String(key, def string) string {
	raw, ok := c.value(key)
	if !ok {
		return def
	}
	if s, ok := parseString(raw); ok {
		return s
	}
	c.bad(key, raw, "a string")
	return def
}

// Floats is a list of numbers. They may be infinite ("time_step_limit": [0.0, Infinity]) but not NaN.
func (c *Config) Floats(key string, def []float64) []float64 {
	list := []float64{}
	valid, there := c.list(key, "a list of numbers", func(raw []byte) bool {
		v, ok := parseFloat(raw)
		list = append(list, v)
		return ok && !math.IsNaN(v)
	})
	if !there || !valid {
		return def
	}
	return list
}

// Ints is a list of integers as Int takes them, or a single one ("eos_token_id": 0).
func (c *Config) Ints(key string, def []int) []int {
	if raw, ok := c.value(key); ok {
		if n, ok := parseInt(raw); ok {
			return []int{n}
		}
	}
	list := []int{}
	valid, there := c.list(key, "an integer or a list of integers below 2^31", func(raw []byte) bool {
		n, ok := parseInt(raw)
		list = append(list, n)
		return ok
	})
	if !there || !valid {
		return def
	}
	return list
}

// Strings is a list of strings.
func (c *Config) Strings(key string, def []string) []string {
	list := []string{}
	valid, there := c.list(key, "a list of strings", func(raw []byte) bool {
		s, ok := parseString(raw)
		list = append(list, s)
		return ok
	})
	if !there || !valid {
		return def
	}
	return list
}

// list calls take with each element of a list. It says whether every one was right, and whether the key is there.
func (c *Config) list(key, want string, take func(raw []byte) bool) (valid, there bool) {
	raw, there := c.value(key)
	if !there {
		return false, false
	}
	valid = raw[0] == '['
	if valid {
		// The text was validated when the file was read, so the walk itself cannot fail.
		s := scanner{data: raw, floats: true}
		_ = s.array(func() error {
			start := s.pos
			err := s.skip()
			valid = valid && take(raw[start:s.pos])
			return err
		})
	}
	if !valid {
		c.bad(key, raw, want)
	}
	return valid, true
}

// Object is the object of a key. It is empty, never nil, when the key is missing; see Has.
func (c *Config) Object(key string) *Config {
	object := &Config{file: c.file, prefix: c.prefix + key + ".", problems: c.problems}
	raw, ok := c.value(key)
	if !ok {
		return object
	}
	if raw[0] != '{' {
		c.bad(key, raw, "an object")
		return object
	}
	object.members, _ = parseMembers(raw) // validated when the file was read
	return object
}

// parseInt reads an integer; 2.0 is one too.
func parseInt(raw []byte) (int, bool) {
	v, ok := parseFloat(raw)
	if !ok || v != math.Trunc(v) || math.Abs(v) > math.MaxInt32 {
		return 0, false
	}
	return int(v), true
}

// parseFloat reads a number, a bare Infinity, -Infinity or NaN, or one of these as {"__float__": "Infinity"}.
func parseFloat(raw []byte) (float64, bool) {
	text := string(raw)
	if raw[0] == '{' {
		members, err := parseMembers(raw)
		inner, ok := members["__float__"]
		if err != nil || !ok || len(members) != 1 {
			return 0, false
		}
		text, ok = parseString(inner)
		if !ok {
			return 0, false
		}
	}
	switch {
	case text == "Infinity":
		return math.Inf(1), true
	case text == "-Infinity":
		return math.Inf(-1), true
	case text == "NaN":
		return math.NaN(), true
	case raw[0] != '-' && (raw[0] < '0' || raw[0] > '9'):
		return 0, false
	}
	v, err := strconv.ParseFloat(text, 64)
	return v, err == nil
}

// parseString reads a string.
func parseString(raw []byte) (string, bool) {
	if raw[0] != '"' {
		return "", false
	}
	s := scanner{data: raw}
	text, err := s.str()
	return text, err == nil
}
