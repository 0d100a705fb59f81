// A dashboard as Grafana's own types describe it, in JSON: where they have
// members of an enumeration, it has their values. Panels, their options and
// their queries are told apart, which Grafana's Panel does not.

import type { Dashboard as Any, DataSourceRef, FieldConfig, FieldConfigSource, GraphFieldConfig, Panel, RowPanel, Threshold, ThresholdsConfig } from "@grafana/schema";
import type { Options as StatOptions } from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type { Options as TimeSeriesOptions } from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";
import type { PrometheusDataQuery } from "prometheus-query/dist/esm/raw/composable/prometheus/dataquery/x/PrometheusDataQuery_types.gen";

type Json<T> = unknown extends T ? T
  : T extends string ? `${T}`
  : T extends number | boolean | null | undefined ? T
  : T extends (infer U)[] ? Json<U>[]
  : { [K in keyof T]: Json<T[K]> };

type Query = Json<Omit<PrometheusDataQuery, "datasource"> & { datasource: DataSourceRef }>;

// The value of the first step is null in JSON, which has no -Infinity.
type Steps = Omit<ThresholdsConfig, "steps"> & { steps: (Omit<Threshold, "value"> & { value: number | null })[] };
type Field<Custom> = Json<Omit<FieldConfigSource, "defaults"> & { defaults: Omit<FieldConfig, "custom" | "thresholds"> & { custom?: Custom; thresholds?: Steps } }>;

type Of<Type, Options, Custom> = Json<Omit<Panel, "type" | "options" | "targets" | "fieldConfig">> & {
  type: Type;
  options: Json<Options>;
  targets: Query[];
  fieldConfig: Field<Custom>;
};

export type Dashboard = Json<Omit<Any, "panels">> & {
  panels: (Of<"stat", StatOptions, {}> | Of<"timeseries", TimeSeriesOptions, GraphFieldConfig> | (Json<Omit<RowPanel, "type" | "panels">> & { type: "row"; panels: [] }))[];
};
