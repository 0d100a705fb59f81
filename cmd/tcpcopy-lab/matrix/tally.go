package matrix

// A Tally says how often a server was asked for each request. What names a
// request is the server's choice: a URI, a query, a statement.
type Tally map[string]int

// Total is the number of requests.
func (t Tally) Total() (n int) {
	for _, k := range t {
		n += k
	}
	return n
}

// selected is the part of t that counts selects; all of it where counts is nil.
func (t Tally) selected(counts func(string) bool) Tally {
	if counts == nil {
		return t
	}
	part := Tally{}
	for request, n := range t {
		if counts(request) {
			part[request] = n
		}
	}
	return part
}

// difference says how often the target was asked for less and for more than
// production, and what it was asked for that production never was.
func difference(online, target Tally) (missing, duplicated, foreign int) {
	for request, want := range online {
		got := target[request]
		missing += max(0, want-got)
		duplicated += max(0, got-want)
	}
	for request, got := range target {
		if online[request] == 0 {
			foreign += got
		}
	}
	return missing, duplicated, foreign
}
