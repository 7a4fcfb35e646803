package loader

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const exampleConfig = `{
  "model_type": "mamba2", "hidden_size": 64, "expand": 2.0, "use_bias": true, "tie": false, "chunk": null,
  "eps": 1e-05, "time_step_limit": [0.0, Infinity], "newer_limit": [0.0, {"__float__": "Infinity"}], "low": -Infinity, "bad": NaN,
  "time_step_rank": "auto", "rank": 5, "eos_token_id": 7, "more_eos": [7, 8], "layer_types": ["mamba", "attention"], "empty": [],
  "ssm_cfg": {"layer": "Mamba2", "d_state": 32, "inner": {"deep": "yes"}}, "name": "\u00e9\n"
}`

func mustParse(t testing.TB, text string) *Config {
	t.Helper()
	c, err := ParseConfig("m/config.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConfigValues(t *testing.T) {
	c := mustParse(t, exampleConfig)
	check := func(what string, got, want any) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	check("int", c.Int("hidden_size", 1), 64)
	check("int that is written as float", c.Int("expand", 1), 2)
	check("default", c.Int("nothing", 768), 768)
	check("null is the default", c.Int("chunk", 256), 256)
	check("required", c.IntRequired("rank"), 5)
	check("size", c.Size("rank", 1), 5)
	check("size required", c.SizeRequired("rank"), 5)
	check("auto", c.IntOrAuto("time_step_rank", 4), 4)
	check("not auto", c.IntOrAuto("rank", 4), 5)
	check("auto, missing", c.IntOrAuto("nothing", 4), 4)
	check("float", c.Float("eps", 0), 1e-5)
	check("float of an int", c.Float("hidden_size", 0), 64.0)
	check("true", c.Bool("use_bias", false), true)
	check("false", c.Bool("tie", true), false)
	check("default of bool", c.Bool("nothing", true), true)
	check("string", c.String("model_type", ""), "mamba2")
	check("escapes", c.String("name", ""), "é\n")
	check("floats", c.Floats("time_step_limit", nil), []float64{0, math.Inf(1)})
	check("floats of objects", c.Floats("newer_limit", nil), []float64{0, math.Inf(1)})
	check("default of floats", c.Floats("nothing", []float64{1}), []float64{1})
	check("one int as list", c.Ints("eos_token_id", nil), []int{7})
	check("ints", c.Ints("more_eos", nil), []int{7, 8})
	check("empty list", c.Ints("empty", []int{1}), []int{})
	check("strings", c.Strings("layer_types", nil), []string{"mamba", "attention"})
	check("has", c.Has("rank"), true)
	check("has null", c.Has("chunk"), false)
	object := c.Object("ssm_cfg")
	check("nested", object.Int("d_state", 16), 32)
	check("nested twice", object.Object("inner").String("deep", ""), "yes")
	check("keys", object.Keys(), []string{"d_state", "inner", "layer"})
	check("object that is missing", c.Object("nothing").Int("d_state", 16), 16)
	if err := c.Problems().Err(); err != nil {
		t.Errorf("problems: %v", err)
	}
}

func TestConfigProblemsAreCollected(t *testing.T) {
	c := mustParse(t, `{"a": "x", "b": 2.5, "c": 4294967296, "d": 0, "e": Infinity, "f": NaN, "g": 1, "h": 3, "i": [1, "x"], "j": [NaN], "k": {"d_state": -1},
		"l": [1], "m": {"__float__": "1"}, "n": 1e999, "o": "`+strings.Repeat("y", 100)+`", "p": -9223372036854775808}`)
	c.Int("a", 1)
	c.Int("a", 1) // asked twice, listed once
	c.Int("b", 1)
	c.Int("c", 1)
	c.Size("d", 1)
	c.Float("e", 1)
	c.Float("f", 1)
	c.Bool("g", true)
	c.String("h", "")
	c.Ints("i", nil)
	c.Floats("j", nil)
	if got := c.Object("k").Size("d_state", 16); got != 16 {
		t.Errorf("a wrong value gives %d, not the default", got)
	}
	c.Object("l")
	c.Float("m", 1)
	c.Float("n", 1)
	c.Int("o", 1)
	c.Int("p", 1)
	c.SizeRequired("q")
	want := `m/config.json: "a": is "x", must be an integer below 2^31
m/config.json: "b": is 2.5, must be an integer below 2^31
m/config.json: "c": is 4294967296, must be an integer below 2^31
m/config.json: "d": is 0, must be an integer from 1 to 2^31-1
m/config.json: "e": is Infinity, must be a finite number
m/config.json: "f": is NaN, must be a finite number
m/config.json: "g": is 1, must be true or false
m/config.json: "h": is 3, must be a string
m/config.json: "i": is [1, "x"], must be an integer or a list of integers below 2^31
m/config.json: "j": is [NaN], must be a list of numbers
m/config.json: "k.d_state": is -1, must be an integer from 1 to 2^31-1
m/config.json: "l": is [1], must be an object
m/config.json: "m": is {"__float__": "1"}, must be a finite number
m/config.json: "n": is 1e999, must be a finite number
m/config.json: "o": is "` + strings.Repeat("y", 39) + `..., must be an integer below 2^31
m/config.json: "p": is -9223372036854775808, must be an integer below 2^31
  fix: ` + fixConfig + `
m/config.json: "q": is missing
  fix: add "q" to config.json`
	if diff := cmp.Diff(want, message(c.Problems().Err())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestConfigSyntax(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"empty", " \n", "the file is empty"},
		{"not an object", `[1]`, "line 1, column 1: expected '{', found '['"},
		{"key twice", "{\"a\": 1,\n \"a\": 2}", `line 2, column 2: the key "a" occurs twice`},
		{"key twice inside", `{"a": [{"b": 1, "b": 2}]}`, `line 1, column 17: the key "b" occurs twice`},
		{"depth of arrays", `{"a": ` + strings.Repeat("[", 1_000_000), "line 1, column 70: nested deeper than 64 levels"},
		{"depth of objects", strings.Repeat(`{"a":`, 1_000_000), "line 1, column 321: nested deeper than 64 levels"},
		{"trailing comma", `{"a": 1,}`, `line 1, column 9: expected a string, found '}'`},
		{"two values", `{} {}`, `line 1, column 4: expected the end, found '{'`},
		{"unfinished string", `{"a`, `line 1, column 2: the string does not end`},
		{"unfinished escape", `{"a\`, `line 1, column 4: the string does not end`},
		{"unknown escape", `{"\x": 1}`, `line 1, column 3: unknown escape \'x'`},
		{"control character", "{\"\x00\": 1}", `line 1, column 3: a control character in a string`},
		{"low surrogate alone", `{"\udc00": 1}`, `line 1, column 3: a \u escape that is no character`},
		{"two high surrogates", `{"\ud800\ud800": 1}`, `line 1, column 3: a \u escape that is no character`},
		{"bad hex", `{"\u00g0": 1}`, `line 1, column 3: a \u escape that is no character`},
		{"not UTF-8", "{\"\xc0\x80\": 1}", `line 1, column 2: the string is not UTF-8`},
		{"byte order mark", "\ufeff{}", `line 1, column 1: expected '{', found 'ï'`},
		{"leading zero", `{"a": 01}`, `line 1, column 7: a number begins with 0`},
		{"no digits", `{"a": -}`, `line 1, column 8: expected a value, found '}'`},
		{"no fraction", `{"a": 1.}`, `line 1, column 9: expected a digit, found '}'`},
		{"no exponent", `{"a": 1e+}`, `line 1, column 10: expected a digit, found '}'`},
		{"python", `{"a": True}`, `line 1, column 7: expected a value, found 'T'`},
		{"inf", `{"a": inf}`, `line 1, column 7: expected a value, found 'i'`},
		{"word that goes on", `{"a": trueish}`, `line 1, column 11: expected ',' or '}', found 'i'`},
		{"no value", `{"a":`, `line 1, column 6: expected a value, found the end`},
		{"no colon", `{"a" 1}`, `line 1, column 6: expected ':', found '1'`},
		{"no comma", `{"a": [1 2]}`, `line 1, column 10: expected ',' or ']', found '2'`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := ParseConfig("config.json", []byte(test.text))
			line, _, _ := strings.Cut(message(err), "\n")
			if line != "config.json: "+test.want || c != nil {
				t.Errorf("error %q, want %q", line, test.want)
			}
		})
	}
	if _, err := ParseConfig("c", make([]byte, configLimit+1)); err == nil {
		t.Error("a config of more than the limit is read")
	}
}

// FuzzConfig runs every getter on every key of what is accepted, and checks that encoding/json accepts the same text and sees the same keys
// (unless the text has the tokens that are not JSON).
func FuzzConfig(f *testing.F) {
	f.Add([]byte(exampleConfig))
	f.Add([]byte(`{"a": {"__float__": "-Infinity"}, "b": -0.0e-7, "c": [[], {}, null, "\ud83d\ude00"]}`))
	f.Add([]byte(`{"a": 1, "a": 2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseConfig("c", data)
		if err != nil {
			return
		}
		for _, key := range c.Keys() {
			useGetters(c, key)
			object := c.Object(key)
			for _, inner := range object.Keys() {
				useGetters(object, inner)
			}
		}
		_ = message(c.Problems().Err())
		if text := string(data); strings.Contains(text, "Infinity") || strings.Contains(text, "NaN") {
			return
		}
		var theirs map[string]json.RawMessage
		if err := json.Unmarshal(data, &theirs); err != nil {
			t.Fatalf("accepted, but encoding/json says: %v", err)
		}
		var keys []string
		for key := range theirs {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		if !slices.Equal(keys, c.Keys()) {
			t.Fatalf("keys %q, encoding/json has %q", c.Keys(), keys)
		}
		for _, key := range keys {
			var want string
			if json.Unmarshal(theirs[key], &want) == nil && c.Has(key) && c.String(key, "") != want {
				t.Fatalf("%q is %q, encoding/json has %q", key, c.String(key, ""), want)
			}
		}
	})
}

func useGetters(c *Config, key string) {
	c.Int(key, 1)
	c.IntRequired(key)
	c.IntOrAuto(key, 1)
	c.SizeRequired(key)
	c.Float(key, 1)
	c.Bool(key, false)
	c.String(key, "")
	c.Floats(key, nil)
	c.Ints(key, nil)
	c.Strings(key, nil)
	c.Object(key)
}
