// Takes a signal for itself.
#include <signal.h>
#include "trivet_plugin.h"
static void *listen_for(const trivet_strategy *strategy, const trivet_host *host,
                        const trivet_strategy_setup *setup, trivet_error *error);
#define CREATE listen_for
#include "strategy.h"
static void heard(int number) { (void)number; }
static void *listen_for(const trivet_strategy *table, const trivet_host *host,
                        const trivet_strategy_setup *setup, trivet_error *error) {
    (void)table;
    signal(SIGUSR2, heard);
    return make(host, setup, error);
}
