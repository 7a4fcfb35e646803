package passes

import (
	"errors"
	"fmt"
	"html/template"
	"io"
	"strings"
)

// htmlStage is one column of the page: the graph after a pass, or before the first.
type htmlStage struct {
	Title, Doc, Leaves string
	Summary            string
	Events             []Event
	Lines              []htmlLine
}

// htmlLine is one line of a graph.
type htmlLine struct {
	Class string // "new": the stage before has no such line; "gone": the stage after has none; "both"; ""
	Parts []htmlPart
}

// htmlPart is a piece of a line: the name of a value, a comment, or neither.
type htmlPart struct{ Class, Text string }

// WriteHTML writes one page that needs nothing else: a column for the graph before the first pass and for each pass that changed it, with
// what is new and what is about to go in colour, and what each pass did and why it did no more. A click on a value marks it everywhere.
// The report must have been made with Options.KeepText.
func WriteHTML(w io.Writer, r *Report) error {
	if r.Input == "" {
		return errors.New("the report holds no graphs; fix: run the passes with KeepText")
	}
	texts := []string{r.Input}
	stages := []*htmlStage{{Title: "input", Doc: "the graph as the model family wrote it"}}
	for _, p := range r.Passes {
		s := &htmlStage{
			Title: fmt.Sprintf("%02d %s", p.Number, p.Pass.Name), Doc: p.Pass.Doc, Leaves: p.Pass.Leaves, Events: p.Events,
			Summary: fmt.Sprintf("%d fired, %d did not", p.FiredCount(), len(p.Events)-p.FiredCount()),
		}
		if !p.Changed {
			s.Summary += "; the graph is unchanged"
		}
		stages = append(stages, s)
		texts = append(texts, p.Text)
	}
	for i, s := range stages {
		if i > 0 && !r.Passes[i-1].Changed {
			continue
		}
		next := i + 1
		for next < len(texts)-1 && texts[next] == texts[i] {
			next++ // a pass that changed nothing has no column of lines
		}
		s.Lines = markLines(texts[i], texts[max(i-1, 0)], texts[min(next, len(texts)-1)])
	}
	return page.Execute(w, stages)
}

// markLines compares the lines of a stage with those of its neighbours. A line that only moved, into a group for example, is the same.
func markLines(text, before, after string) []htmlLine {
	was, will := lineSet(before), lineSet(after)
	var out []htmlLine
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		key := strings.TrimSpace(line)
		class := ""
		switch {
		case !was[key] && !will[key]:
			class = "both"
		case !was[key]:
			class = "new"
		case !will[key]:
			class = "gone"
		}
		out = append(out, htmlLine{class, splitLine(line)})
	}
	return out
}

// lineSet is the set of a text's lines without indentation.
func lineSet(text string) map[string]bool {
	set := map[string]bool{}
	for _, line := range strings.Split(text, "\n") {
		set[strings.TrimSpace(line)] = true
	}
	return set
}

// splitLine separates the names of values, and the comment, from the rest of a line.
func splitLine(line string) (parts []htmlPart) {
	code, comment := line, ""
	if i := strings.Index(line, "  # "); i >= 0 {
		code, comment = line[:i], line[i:]
	}
	for code != "" {
		i := strings.IndexByte(code, '%')
		if i < 0 {
			i = len(code)
		}
		if i > 0 {
			parts = append(parts, htmlPart{"", code[:i]})
			code = code[i:]
			continue
		}
		// A name ends at a space, or at punctuation that is behind it.
		end := strings.IndexByte(code, ' ')
		if end < 0 {
			end = len(code)
		}
		name := strings.TrimRight(code[:end], ",:")
		if k := strings.Index(name, "):"); k >= 0 {
			name = name[:k]
		}
		parts = append(parts, htmlPart{"v", name})
		code = code[len(name):]
	}
	if comment != "" {
		parts = append(parts, htmlPart{"c", comment})
	}
	return parts
}

// page is the whole page. It loads nothing.
var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>ssmc passes</title><style>
body { margin: 0; font: 13px/1.45 system-ui, sans-serif; background: #fff; color: #222; }
main { display: flex; align-items: flex-start; }
section { flex: none; width: 46rem; padding: .6rem 1rem; border-right: 1px solid #ddd; box-sizing: border-box; }
section.shut { width: 2.4rem; padding: .6rem .4rem; overflow: hidden; }
section.shut h2 { writing-mode: vertical-rl; } section.shut > :not(h2) { display: none; }
h2 { margin: 0; font-size: 15px; cursor: pointer; white-space: nowrap; }
p { margin: .2rem 0; } summary { cursor: pointer; }
ul { margin: .2rem 0; padding-left: 1.2rem; } li.skip { color: #946200; }
pre { font: 12px/1.4 ui-monospace, monospace; overflow-x: auto; margin: .6rem 0; }
.line { display: block; min-height: 1.4em; } .new { background: #e2f5e2; } .gone { background: #fbe3e3; } .both { background: #f6eecb; }
.c { color: #888; } .v { cursor: pointer; } .v.on { background: #ffe066; }
</style></head><body><main>
{{range .}}<section><h2>{{.Title}}</h2><p>{{.Doc}}</p>{{if .Leaves}}<p>Leaves: {{.Leaves}}</p>{{end}}
{{if .Events}}<details><summary>{{.Summary}}</summary><ul>{{range .Events}}<li class="{{if .Fired}}fired{{else}}skip{{end}}">{{.}}</li>
{{end}}</ul></details>{{else if .Summary}}<p>{{.Summary}}</p>{{end}}
{{if .Lines}}<pre>{{range .Lines}}<span class="line {{.Class}}">{{range .Parts}}{{if .Class}}<span class="{{.Class}}">{{.Text}}</span>{{else}}{{.Text}}{{end}}{{end}}</span>{{end}}</pre>{{end}}
</section>
{{end}}</main><script>
document.addEventListener("click", function (e) {
  if (e.target.tagName === "H2") { e.target.parentNode.classList.toggle("shut"); }
  if (!e.target.classList.contains("v")) { return; }
  var on = !e.target.classList.contains("on"), name = e.target.textContent;
  document.querySelectorAll(".v").forEach(function (v) { v.classList.toggle("on", on && v.textContent === name); });
});
</script></body></html>
`))
