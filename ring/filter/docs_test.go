package filter

import (
	"os"
	"strings"
	"testing"
)

func TestExamplesOfTheDocumentCompile(t *testing.T) {
	text, err := os.ReadFile("../../docs/filters.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i, block := range strings.Split(string(text), "```") {
		if i%2 == 0 || !strings.HasPrefix(block, "text\n") {
			continue
		}
		for _, line := range strings.Split(block, "\n")[1:] {
			if line = strings.TrimSpace(line); line != "" {
				compile(t, line)
				n++
			}
		}
	}
	if n == 0 {
		t.Error("no examples found")
	}
}
