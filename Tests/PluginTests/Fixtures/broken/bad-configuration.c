// Refuses a wrong option, and lets the operator guess why.
#include "trivet_plugin.h"
static void *shrug(const trivet_strategy *strategy, const trivet_host *host,
                   const trivet_strategy_setup *setup, trivet_error *error);
#define CREATE shrug
#include "strategy.h"
static void *shrug(const trivet_strategy *table, const trivet_host *host,
                   const trivet_strategy_setup *setup, trivet_error *error) {
    (void)table;
    instance *self = make(host, setup, error);
    if (self == NULL) error->len = 0;
    return self;
}
