package main

import "fmt"

// Beat implements appliance.Tool.
func (i *intercept) Beat() {
	for _, c := range i.captures {
		c.Beat()
	}
}

// Status implements appliance.Tool.
func (i *intercept) Status() string {
	a, server := i.account(), i.server.Stats()
	return fmt.Sprintf("%d tcpcopys, %d links, %d replies forwarded, %d not claimed", server.Instances, server.Links, a.Forwarded, a.NoSession)
}
