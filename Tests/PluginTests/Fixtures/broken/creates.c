// Draws a number before the first pick, and so takes a turn that is not its own.
#include "trivet_plugin.h"
static void *draw(const trivet_strategy *strategy, const trivet_host *host,
                  const trivet_strategy_setup *setup, trivet_error *error);
#define CREATE draw
#include "strategy.h"
static void *draw(const trivet_strategy *table, const trivet_host *host,
                  const trivet_strategy_setup *setup, trivet_error *error) {
    (void)table;
    instance *self = make(host, setup, error);
    if (self != NULL) self->picks = setup->pool->ticket(setup->pool);
    return self;
}
