package main

import (
	"errors"
	"fmt"
)

// Beat implements appliance.Tool.
func (i *intercept) Beat() {
	for _, c := range i.captures {
		c.replies.Beat()
	}
}

// Ready implements appliance.Readiness.
func (i *intercept) Ready() error {
	var errs []error
	for _, c := range i.captures {
		errs = append(errs, c.packets.Err())
	}
	return errors.Join(errs...)
}

// Status implements appliance.Tool.
func (i *intercept) Status() string {
	a, server := i.account(), i.server.Stats()
	return fmt.Sprintf("%d tcpcopys, %d links, %d replies forwarded, %d not claimed", server.Instances, server.Links, a.Forwarded, a.NoSession)
}
