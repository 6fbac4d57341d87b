// Not broken, but of no use without its option: the kit has to be told what to make it with.
#include "trivet_plugin.h"
static void *demand(const trivet_strategy *strategy, const trivet_host *host,
                    const trivet_strategy_setup *setup, trivet_error *error);
#define CREATE demand
#include "strategy.h"
static void *demand(const trivet_strategy *table, const trivet_host *host,
                    const trivet_strategy_setup *setup, trivet_error *error) {
    (void)table;
    if (host->json(host, setup->config, TRIVET_STR("/size")).kind == TRIVET_JSON_MISSING) {
        trivet_error_set(error, TRIVET_STR("option \"size\" is missing, a number from 1 to 1000"));
        return NULL;
    }
    return make(host, setup, error);
}
