package conf

import "fmt"

// rows is a list that the file writes as an array of tables, [[transfer]], and
// the command line as list does.
type rows[T any] struct {
	list[T]
	columns []column[T]
	done    func(*T) error // checks a row as a whole; may fill in defaults
}

// column is a key of the tables of rows. Its values are strings; numbers are
// taken as such.
type column[T any] struct {
	name string
	set  func(*T, string) error
	get  func(T) string // "": the key is left out
}

// table is the face of rows whatever their type.
type table interface {
	value
	reset()
	begin()                       // adds an empty row
	put(name string, v any) error // sets a column of the last row
	end() error                   // checks the last row
	names() []string              // of the columns
	cells() [][]string            // rows of columns
}

func (v rows[T]) begin() { *v.p = append(*v.p, *new(T)) }

func (v rows[T]) last() *T { return &(*v.p)[len(*v.p)-1] }

func (v rows[T]) put(name string, x any) error {
	switch x.(type) {
	case string, int64:
	default:
		return fmt.Errorf("%v is no string; write it in quotes", x)
	}
	for _, c := range v.columns {
		if c.name == name {
			return c.set(v.last(), fmt.Sprint(x))
		}
	}
	return fmt.Errorf("is not a key")
}

func (v rows[T]) end() error { return v.done(v.last()) }

func (v rows[T]) names() []string {
	out := make([]string, len(v.columns))
	for i, c := range v.columns {
		out[i] = c.name
	}
	return out
}

func (v rows[T]) cells() [][]string {
	out := make([][]string, len(*v.p))
	for i, t := range *v.p {
		for _, c := range v.columns {
			out[i] = append(out[i], c.get(t))
		}
	}
	return out
}
