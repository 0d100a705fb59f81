// Package account keeps count: what became of every packet and every turn, by
// typed reasons, and how that is told as Prometheus metrics and as a line of the
// log.
//
// It knows the names of counters, their sums and their identities. It does not
// know workers, rings or links: who counts hands its Counters in, and adds a
// metric of its own by Desc and Metrics.
//
// A new counter is a field of Counters and a line of the table (table.go). It is
// in every sum by itself, and a test fails as long as the line is missing.
package account
