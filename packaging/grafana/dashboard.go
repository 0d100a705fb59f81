// Package grafana describes the dashboard of tcpcopy and intercept. tcpcopy.json
// is what it makes: `go test ./packaging/grafana -update` writes it anew.
package grafana

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Panel is one picture.
type Panel struct {
	Title   string
	About   string // shown behind the panel's i
	Kind    string // timeseries or stat
	Unit    string // Grafana's name: short, percentunit, Bps, pps, s, bytes, reqps, ...
	Width   int    // of 24
	Max     string // "": Grafana decides; else a number
	Steps   []Step // colours of a stat by its value
	Queries []Query
}

// Query is an expression and what its series are called, in which {{label}}
// stands for a label's value. $sel stands for the selection by job and instance.
type Query struct{ Expr, Legend string }

// Step is the colour from a value on.
type Step struct {
	Color string
	From  float64
}

// Row is a heading with its panels, which fill lines of 24.
type Row struct {
	Title  string
	Panels []Panel
}

// selection restricts a query to what the dashboard's variables say.
const selection = `job=~"$job",instance=~"$instance"`

// Expression is the query as it stands in the dashboard.
func (q Query) Expression() string { return strings.ReplaceAll(q.Expr, "$sel", selection) }

type object = map[string]any

const (
	rowHeight  = 1
	statHeight = 4
	lineHeight = 8
)

// source is the data source that the variable of the dashboard names.
var source = object{"type": "prometheus", "uid": "${datasource}"}

// JSON is the dashboard as Grafana imports it (dashboard schema version 39, of
// Grafana 11).
func JSON() ([]byte, error) {
	var panels []object
	id, y := 0, 0
	for _, r := range Rows {
		id++
		panels = append(panels, object{
			"id": id, "type": "row", "title": r.Title, "collapsed": false, "panels": []object{},
			"gridPos": object{"h": rowHeight, "w": 24, "x": 0, "y": y},
		})
		y += rowHeight
		x, height := 0, 0
		for _, p := range r.Panels {
			if x+p.Width > 24 {
				x, y, height = 0, y+height, 0
			}
			id++
			o := p.object()
			h := p.height()
			o["id"], o["gridPos"] = id, object{"h": h, "w": p.Width, "x": x, "y": y}
			panels = append(panels, o)
			x, height = x+p.Width, max(height, h)
		}
		y += height
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(object{
		"uid": "tcpcopy", "title": "tcpcopy", "tags": []string{"tcpcopy"},
		"description":   "Live copying by tcpcopy and intercept: what of production reaches the system under test, and what becomes of the rest.",
		"schemaVersion": 39, "version": 1, "editable": true, "graphTooltip": 1,
		"time": object{"from": "now-1h", "to": "now"}, "refresh": "10s", "timezone": "browser",
		"annotations": object{"list": []object{}}, "links": []object{},
		"templating": object{"list": variables()},
		"panels":     panels,
	})
	return b.Bytes(), err
}

func (p Panel) height() int {
	if p.Kind == "stat" {
		return statHeight
	}
	return lineHeight
}

func (p Panel) object() object {
	var targets []object
	for i, q := range p.Queries {
		targets = append(targets, object{
			"refId": string(rune('A' + i)), "datasource": source,
			"expr": q.Expression(), "legendFormat": q.Legend, "range": p.Kind != "stat", "instant": p.Kind == "stat",
		})
	}
	defaults := object{"unit": p.Unit, "custom": object{}}
	var options object
	switch p.Kind {
	case "stat":
		steps := []object{}
		for i, s := range p.Steps {
			step := object{"color": s.Color, "value": s.From}
			if i == 0 {
				step["value"] = nil // from below everything
			}
			steps = append(steps, step)
		}
		defaults["thresholds"] = object{"mode": "absolute", "steps": steps}
		defaults["color"] = object{"mode": "thresholds"}
		options = object{
			"reduceOptions": object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
			"colorMode":     "value", "graphMode": "none", "textMode": "auto", "justifyMode": "auto", "orientation": "auto",
			"percentChangeColorMode": "standard", "showPercentChange": false, "wideLayout": true,
		}
	default:
		defaults["custom"] = object{"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": false}
		defaults["color"] = object{"mode": "palette-classic"}
		defaults["min"] = 0
		if p.Max != "" {
			defaults["max"] = json.Number(p.Max)
		}
		options = object{
			"legend":  object{"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []string{}},
			"tooltip": object{"mode": "multi", "sort": "desc"},
		}
	}
	return object{
		"type": p.Kind, "title": p.Title, "description": p.About, "datasource": source, "targets": targets,
		"fieldConfig": object{"defaults": defaults, "overrides": []object{}}, "options": options,
	}
}

// Builds names every process that the dashboard can show.
const Builds = `{__name__=~"(tcpcopy|intercept)_build_info"}`

func variables() []object {
	query := func(name, label, expr string) object {
		return object{
			"name": name, "label": label, "type": "query", "datasource": source,
			"query":   object{"query": expr, "refId": "Prometheus-" + name},
			"refresh": 2, "sort": 1, "multi": true, "includeAll": true,
			"current": object{"text": []string{"All"}, "value": []string{"$__all"}},
		}
	}
	return []object{
		{"name": "datasource", "label": "data source", "type": "datasource", "query": "prometheus", "refresh": 1},
		query("job", "job", "label_values("+Builds+", job)"),
		query("instance", "instance", "label_values("+strings.Replace(Builds, "}", `,job=~"$job"}`, 1)+", instance)"),
	}
}
