// Drawing nodes at random by their weights, in constant time. The table is a strategy's own and does
// not follow the pool by itself: it is filled in `init` and in `update`.

/// Ready nodes in a drum, each drawn with the probability weight / sum of weights: Walker's alias
/// method (1977, "An efficient method for generating discrete random variables with general
/// distributions") with the table built as Vose does (1991, "A linear algorithm for generating
/// random numbers with a given distribution"), but in whole numbers, so that nothing is rounded
/// before the last step: a probability is off by less than n * 2^-63.
///
/// A node of weight 0 is left out while another has more; if all have 0, all are equal. `fill` takes
/// O(ready) and allocates; `draw` takes O(1), does not, and costs 16 bytes of memory a node.
///
/// Fill it anew whenever `update` says `.nodes`, `.states` or `.weights`. A drawn node may have
/// gone down since: ask `pool.isReady` before it is picked.
public struct Lottery {
    /// A column of the table, 1/n wide: below the threshold it belongs to `node`, above to `other`.
    private struct Column {
        var threshold: UInt64  // in 2^-64 of the column
        var node: NodeIndex
        var other: NodeIndex
    }

    private var columns: [Column] = []
    /// Sum of the weights in the drum.
    public private(set) var total: UInt64 = 0

    /// An empty drum.
    public init() {}

    /// How many nodes are in the drum.
    public var count: Int { columns.count }

    /// Takes in the nodes that are ready now, with their present weights. Not for picks.
    public mutating func fill(_ pool: Pool) {
        let ready = pool.ready
        columns.removeAll(keepingCapacity: true)
        columns.reserveCapacity(ready.count)
        var shares: [UInt64] = []  // of each column, in units of 1 / total
        shares.reserveCapacity(ready.count)
        gather(pool, idle: false, into: &shares)
        if columns.isEmpty { gather(pool, idle: true, into: &shares) }
        total = shares.reduce(0, +)
        level(&shares)
    }

    private mutating func gather(_ pool: Pool, idle: Bool, into weights: inout [UInt64]) {
        let ready = pool.ready
        var position = 0
        while position < ready.count {
            let node = ready[position]
            let weight = idle ? 1 : UInt64(pool[node].weight)
            if weight > 0 {
                weights.append(weight)
                columns.append(Column(threshold: .max, node: node, other: node))
            }
            position += 1
        }
    }

    /// Fills columns that hold less than their width from ones that hold more.
    private mutating func level(_ shares: inout [UInt64]) {
        // Weights have 32 bits, and so have counts of nodes: the products fit.
        var poor: [Int] = []
        var rich: [Int] = []
        for column in shares.indices {
            shares[column] *= UInt64(shares.count)
            if shares[column] < total { poor.append(column) } else { rich.append(column) }
        }
        while let taker = poor.popLast(), let giver = rich.last {
            let share = shares[taker]
            columns[taker].threshold = total.dividingFullWidth((high: share, low: 0)).quotient
            columns[taker].other = columns[giver].node
            shares[giver] -= total - share
            if shares[giver] < total {
                rich.removeLast()
                poor.append(giver)
            }
        }
    }

    /// One node by weight, or nil if the drum is empty. Costs one random number.
    public func draw(_ host: Host) -> NodeIndex? {
        guard !columns.isEmpty else { return nil }
        // As in Lemire 2019: the whole part of random * n is the column, the rest a place in it.
        let product = host.random().multipliedFullWidth(by: UInt64(columns.count))
        let column = columns[Int(product.high)]
        return product.low < column.threshold ? column.node : column.other
    }

    /// One node by weight that is not `first`, or nil if there is no other.
    ///
    /// It draws again while it gets `first`, at most eight times; then any other node is as good,
    /// since `first` then has nearly all the weight.
    public func draw(_ host: Host, except first: NodeIndex) -> NodeIndex? {
        if columns.count == 2 {
            return columns[0].node == first ? columns[1].node : columns[0].node
        }
        guard columns.count > 2 else {
            return columns.first.flatMap { $0.node == first ? nil : $0.node }
        }
        var draws = 0
        while draws < 8 {
            if let node = draw(host), node != first { return node }
            draws += 1
        }
        let column = host.random(below: columns.count)
        let node = columns[column].node
        return node != first ? node : columns[(column + 1) % columns.count].node
    }
}
