package main

import (
	"context"
	"fmt"

	"github.com/tcpcopy-go/tcpcopy/pipeline/capture/leak"
	"github.com/tcpcopy-go/tcpcopy/ring"
)

// Check implements appliance.Tool. The port is not tried: an intercept that
// runs has it.
func (i *intercept) Check(context.Context) (problems, warnings []string) {
	for _, name := range i.interfaces() {
		r, err := ring.Open(ring.Config{Interface: name, Blocks: 2})
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		_ = r.Close()
	}
	guard, err := leak.NewGuard(i.conf.Interfaces)
	if err != nil {
		return append(problems, err.Error()), warnings
	}
	defer guard.Close()
	if err := guard.CheckAll(); err != nil {
		problems = append(problems, err.Error())
	}
	on, err := guard.Forwarding()
	if err != nil {
		problems = append(problems, err.Error())
	}
	for _, key := range on {
		warnings = append(warnings, fmt.Sprintf("this host forwards packets, %s=1: addresses with a route are refused to tcpcopys: sysctl -w %s=0", key, key))
	}
	return problems, warnings
}
