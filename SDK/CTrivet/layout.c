// The layout of the ABI, asserted. A plugin built years ago relies on every number here: a change
// that breaks one of these lines breaks that plugin, and belongs into a new struct instead.
//
// The numbers are those of LP64 (x86_64 and aarch64), written down once and never computed again.

#include "trivet_plugin.h"

_Static_assert(sizeof(void *) == 8 && sizeof(size_t) == 8, "the ABI is laid out for LP64");

#define SIZE(type, bytes) \
    _Static_assert(sizeof(type) == (bytes) && _Alignof(type) == 8, #type ": size or alignment")
#define FIELD(type, field, at) \
    _Static_assert(offsetof(type, field) == (at), #type "." #field ": offset")

SIZE(trivet_str, 16);
FIELD(trivet_str, data, 0);
FIELD(trivet_str, len, 8);

SIZE(trivet_pair, 32);
FIELD(trivet_pair, key, 0);
FIELD(trivet_pair, value, 16);

SIZE(trivet_error, 24);
FIELD(trivet_error, data, 0);
FIELD(trivet_error, capacity, 8);
FIELD(trivet_error, len, 16);

SIZE(trivet_sink, 16);
FIELD(trivet_sink, ctx, 0);
FIELD(trivet_sink, write, 8);

SIZE(trivet_option, 32);
FIELD(trivet_option, name, 0);
FIELD(trivet_option, summary, 16);

SIZE(trivet_json, 32);
FIELD(trivet_json, kind, 0);
FIELD(trivet_json, reserved, 4);
FIELD(trivet_json, number, 8);
FIELD(trivet_json, text, 16);

SIZE(trivet_host, 64);
FIELD(trivet_host, size, 0);
FIELD(trivet_host, abi_minor, 4);
FIELD(trivet_host, ctx, 8);
FIELD(trivet_host, log, 16);
FIELD(trivet_host, now, 24);
FIELD(trivet_host, random, 32);
FIELD(trivet_host, metric, 40);
FIELD(trivet_host, metric_add, 48);
FIELD(trivet_host, json, 56);

SIZE(trivet_node, 64);
FIELD(trivet_node, id, 0);
FIELD(trivet_node, name, 8);
FIELD(trivet_node, address, 24);
FIELD(trivet_node, state, 40);
FIELD(trivet_node, weight, 44);
FIELD(trivet_node, tier, 48);
FIELD(trivet_node, metadata_count, 52);
FIELD(trivet_node, metadata, 56);

SIZE(trivet_load, 32);
FIELD(trivet_load, in_flight, 0);
FIELD(trivet_load, in_flight_all, 4);
FIELD(trivet_load, picks, 8);
FIELD(trivet_load, failures, 16);
FIELD(trivet_load, latency_ns, 24);

SIZE(trivet_pool, 88);
FIELD(trivet_pool, size, 0);
FIELD(trivet_pool, node_count, 4);
FIELD(trivet_pool, node_stride, 8);
FIELD(trivet_pool, load_stride, 12);
FIELD(trivet_pool, ready_count, 16);
FIELD(trivet_pool, reserved, 20);
FIELD(trivet_pool, nodes, 24);
FIELD(trivet_pool, load, 32);
FIELD(trivet_pool, ready, 40);
FIELD(trivet_pool, seed, 48);
FIELD(trivet_pool, name, 56);
FIELD(trivet_pool, ctx, 72);
FIELD(trivet_pool, ticket, 80);

SIZE(trivet_request, 136);
FIELD(trivet_request, size, 0);
FIELD(trivet_request, flags, 4);
FIELD(trivet_request, ctx, 8);
FIELD(trivet_request, hash, 16);
FIELD(trivet_request, method, 24);
FIELD(trivet_request, target, 40);
FIELD(trivet_request, authority, 56);
FIELD(trivet_request, client, 72);
FIELD(trivet_request, session, 88);
FIELD(trivet_request, session_node, 104);
FIELD(trivet_request, reserved, 108);
FIELD(trivet_request, attempt, 112);
FIELD(trivet_request, tried_count, 116);
FIELD(trivet_request, tried, 120);
FIELD(trivet_request, header, 128);

SIZE(trivet_pick, 48);
FIELD(trivet_pick, node, 0);
FIELD(trivet_pick, flags, 4);
FIELD(trivet_pick, token, 8);
FIELD(trivet_pick, reason, 16);
FIELD(trivet_pick, session, 32);

SIZE(trivet_result, 72);
FIELD(trivet_result, size, 0);
FIELD(trivet_result, outcome, 4);
FIELD(trivet_result, node, 8);
FIELD(trivet_result, status, 12);
FIELD(trivet_result, node_id, 16);
FIELD(trivet_result, token, 24);
FIELD(trivet_result, connect_ns, 32);
FIELD(trivet_result, first_byte_ns, 40);
FIELD(trivet_result, total_ns, 48);
FIELD(trivet_result, bytes_sent, 56);
FIELD(trivet_result, bytes_received, 64);

SIZE(trivet_strategy_setup, 40);
FIELD(trivet_strategy_setup, size, 0);
FIELD(trivet_strategy_setup, worker, 4);
FIELD(trivet_strategy_setup, worker_count, 8);
FIELD(trivet_strategy_setup, reserved, 12);
FIELD(trivet_strategy_setup, config, 16);
FIELD(trivet_strategy_setup, pool, 32);

SIZE(trivet_strategy, 128);
FIELD(trivet_strategy, size, 0);
FIELD(trivet_strategy, flags, 4);
FIELD(trivet_strategy, name, 8);
FIELD(trivet_strategy, summary, 24);
FIELD(trivet_strategy, state_version, 40);
FIELD(trivet_strategy, option_count, 44);
FIELD(trivet_strategy, options, 48);
FIELD(trivet_strategy, data, 56);
FIELD(trivet_strategy, create, 64);
FIELD(trivet_strategy, destroy, 72);
FIELD(trivet_strategy, pick, 80);
FIELD(trivet_strategy, update, 88);
FIELD(trivet_strategy, result, 96);
FIELD(trivet_strategy, save, 104);
FIELD(trivet_strategy, load, 112);
FIELD(trivet_strategy, describe, 120);

SIZE(trivet_probe, 120);
FIELD(trivet_probe, size, 0);
FIELD(trivet_probe, kind, 4);
FIELD(trivet_probe, flags, 8);
FIELD(trivet_probe, timeout_ms, 12);
FIELD(trivet_probe, read_limit, 16);
FIELD(trivet_probe, port, 20);
FIELD(trivet_probe, reserved, 22);
FIELD(trivet_probe, method, 24);
FIELD(trivet_probe, target, 40);
FIELD(trivet_probe, authority, 56);
FIELD(trivet_probe, payload, 72);
FIELD(trivet_probe, headers, 88);
FIELD(trivet_probe, header_count, 96);
FIELD(trivet_probe, read_until, 104);

SIZE(trivet_reply, 80);
FIELD(trivet_reply, size, 0);
FIELD(trivet_reply, outcome, 4);
FIELD(trivet_reply, status, 8);
FIELD(trivet_reply, step, 12);
FIELD(trivet_reply, connect_ns, 16);
FIELD(trivet_reply, total_ns, 24);
FIELD(trivet_reply, body, 32);
FIELD(trivet_reply, headers, 48);
FIELD(trivet_reply, header_count, 56);
FIELD(trivet_reply, detail, 64);

SIZE(trivet_verdict, 48);
FIELD(trivet_verdict, size, 0);
FIELD(trivet_verdict, state, 4);
FIELD(trivet_verdict, weight_percent, 8);
FIELD(trivet_verdict, at_once, 12);
FIELD(trivet_verdict, next_ms, 16);
FIELD(trivet_verdict, metadata_count, 20);
FIELD(trivet_verdict, metadata, 24);
FIELD(trivet_verdict, reason, 32);

SIZE(trivet_check_setup, 40);
FIELD(trivet_check_setup, size, 0);
FIELD(trivet_check_setup, reserved, 4);
FIELD(trivet_check_setup, config, 8);
FIELD(trivet_check_setup, pool, 24);

SIZE(trivet_check, 96);
FIELD(trivet_check, size, 0);
FIELD(trivet_check, flags, 4);
FIELD(trivet_check, name, 8);
FIELD(trivet_check, summary, 24);
FIELD(trivet_check, options, 40);
FIELD(trivet_check, option_count, 48);
FIELD(trivet_check, data, 56);
FIELD(trivet_check, create, 64);
FIELD(trivet_check, destroy, 72);
FIELD(trivet_check, probe, 80);
FIELD(trivet_check, judge, 88);

SIZE(trivet_plugin, 72);
FIELD(trivet_plugin, size, 0);
FIELD(trivet_plugin, abi_minor, 4);
FIELD(trivet_plugin, flags, 8);
FIELD(trivet_plugin, reserved, 12);
FIELD(trivet_plugin, name, 16);
FIELD(trivet_plugin, version, 32);
FIELD(trivet_plugin, strategies, 48);
FIELD(trivet_plugin, checks, 56);
FIELD(trivet_plugin, retire, 64);
