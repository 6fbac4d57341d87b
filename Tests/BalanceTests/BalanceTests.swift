// BalanceTests: being built.
