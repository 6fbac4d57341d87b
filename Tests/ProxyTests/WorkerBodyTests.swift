// Bodies through a worker, in every framing, both ways, whole and not.

import Base
import Glibc
import Net
import Testing

@testable import Proxy

@Suite struct WorkerBodyTests {
    /// Echoes: answers with the body of each request, which has a Content-Length.
    private func echo() throws -> TestNode {
        try TestNode { conversation in
            while true {
                let (_, body) = try conversation.response()
                try conversation.send(
                    "HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n" + body)
            }
        }
    }

    @Test(
        "A body of any size that comes in one write with its head arrives whole",
        arguments: [0, 1, 40_000, 65_400, 65_536, 65_537, 200_000, 3_000_001])
    func oneWrite(_ count: Int) throws {
        try with(echo()) { worker in
            let client = try Conversation(port: worker.port)
            let body = String(repeating: "0123456789", count: count / 10 + 1).prefix(count)
            for _ in 0..<2 {
                try client.send(
                    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(count)\r\n\r\n" + body)
                #expect(try client.response().body == body)
            }
        }
    }

    @Test("Requests in one packet are answered in order, bodies and all")
    func pipelined() throws {
        try with(echo()) { worker in
            let client = try Conversation(port: worker.port)
            var all = ""
            for i in 0..<50 {
                let body = String(repeating: "\(i % 10)", count: i * 37)
                all += "PUT /\(i) HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.count)\r\n\r\n"
                all += body
            }
            try client.send(all)
            client.endSending()
            for i in 0..<50 {
                #expect(try client.response().body == String(repeating: "\(i % 10)", count: i * 37))
            }
            #expect(try client.readAll() == "")
        }
    }

    @Test("Chunks and trailers go both ways", arguments: [1, 1000, 60_000, 300_000])
    func chunks(_ size: Int) throws {
        let node = try TestNode { conversation in
            while true {
                _ = try conversation.read(until: "\r\n\r\n")
                var body = ""
                while true {
                    let line = try conversation.read(until: "\r\n")
                    let count = Int(line.dropLast(1), radix: 16)!
                    if count == 0 { break }
                    body += String(decoding: try conversation.read(count: count), as: UTF8.self)
                    _ = try conversation.read(until: "\r\n")
                }
                let trailer = try conversation.read(until: "\r\n")
                _ = try conversation.read(until: "\r\n")
                try conversation.send(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                        + "\(String(body.utf8.count, radix: 16))\r\n\(body)\r\n0\r\n\(trailer)\r\n")
            }
        }
        try with(node) { worker in
            let client = try Conversation(port: worker.port)
            for round in 0..<3 {
                let half = String(repeating: "\(round)", count: size)
                let length = String(size, radix: 16)
                try client.send(
                    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                        + "\(length);x=y\r\n\(half)\r\n\(length)\r\n\(half)\r\n"
                        + "0\r\nX-Sum: \(round)\r\n\r\n")
                _ = try client.read(until: "\r\n\r\n")
                let answer = try client.read(until: "0\r\nX-Sum: \(round)\r\n\r\n")
                #expect(answer.utf8.count { $0 == 0x30 + UInt8(round) } >= 2 * size)
            }
        }
    }

    @Test("Bytes after a long answer are not the answer to the next request")
    func extraBytes() throws {
        let count = 20_000_000
        let held = try Wakeup()
        let node = try TestNode { conversation in
            let head = try conversation.read(until: "\r\n\r\n")
            if head.hasPrefix("GET /long") {
                try conversation.send("HTTP/1.1 200 OK\r\nContent-Length: \(count)\r\n\r\n")
                let first = conversation.sendWhileTaken(count, quiet: 200)
                held.signal()
                try conversation.send(
                    [UInt8](repeating: 0x62, count: count - first)
                        + Array("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil".utf8))
                _ = try conversation.readAll()
            }
            try conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
        }
        try with(node) { worker in
            let client = try Conversation(port: worker.port)
            try client.send("GET /long HTTP/1.1\r\nHost: a\r\n\r\n")
            // What the node says has all come in before the client takes the most of it.
            var wait = pollfd(fd: held.fd, events: Int16(POLLIN), revents: 0)
            #expect(unsafe poll(&wait, 1, 10_000) == 1)
            _ = try client.read(until: "\r\n\r\n")
            for _ in 0..<20 { _ = try client.read(count: count / 20) }
            try client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.response().body == "good")
        }
        held.close()
    }

    @Test("Answers without a body leave the connection usable", arguments: ["HEAD", "GET"])
    func noBody(_ method: String) throws {
        let status = method == "HEAD" ? "200 OK\r\nContent-Length: 5" : "204 No Content"
        try with(TestNode.answering("HTTP/1.1 \(status)\r\n\r\n")) { worker in
            let client = try Conversation(port: worker.port)
            for _ in 0..<5 {
                try client.send("\(method) / HTTP/1.1\r\nHost: a\r\n\r\n")
                let head = try client.read(until: "\r\n\r\n")
                #expect(head.hasPrefix("HTTP/1.1 2"))
                #expect(head.contains("Content-Length") == (method == "HEAD"))
            }
        }
    }

    @Test("A body that ends with its connection reaches HTTP/1.1 in chunks and HTTP/1.0 as it is")
    func closeDelimited() throws {
        let body = String(repeating: "c", count: 150_000)
        let node = try TestNode { conversation in
            _ = try conversation.read(until: "\r\n\r\n")
            try conversation.send("HTTP/1.1 200 OK\r\n\r\n" + body)
        }
        try with(node) { worker in
            let new = try Conversation(port: worker.port)
            for _ in 0..<2 {
                try new.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                #expect(try new.read(until: "\r\n\r\n").contains("Transfer-Encoding: chunked"))
                let answer = try new.read(until: "\r\n0\r\n\r\n")
                #expect(answer.utf8.count { $0 == 0x63 } >= 150_000)
            }
            let old = try Conversation(port: worker.port)
            try old.send("GET / HTTP/1.0\r\n\r\n")
            #expect(try old.readAll().hasSuffix("\r\n\r\n" + body))
        }
    }

    @Test("An HTTP/1.0 client reads chunks without their framing")
    func chunksToOld() throws {
        let answer =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        try with(TestNode.answering(answer)) { worker in
            let client = try Conversation(port: worker.port)
            try client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            #expect(try client.readAll().hasSuffix("\r\n\r\nabcde"))
        }
    }

    @Test("An answer cut short is never taken for the whole", arguments: [true, false])
    func cutShort(_ resets: Bool) throws {
        let node = try TestNode { conversation in
            let head = try conversation.read(until: "\r\n\r\n")
            let framing =
                head.hasPrefix("GET /c") ? "Transfer-Encoding: chunked" : "Content-Length: 9"
            if resets { conversation.resetOnClose() }
            try conversation.send("HTTP/1.1 200 OK\r\n\(framing)\r\n\r\n4\r\nabcd")
        }
        try with(node) { worker in
            for target in ["/c", "/l"] {
                let client = try Conversation(port: worker.port)
                try client.send("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n")
                // A reset may also take the beginning with it.
                let all = (try? client.readAll()) ?? ""
                #expect(!all.hasSuffix("0\r\n\r\n"))
            }
        }
    }

    @Test("A body that waits for 100 Continue is sent, and the answer comes")
    func expectation() throws {
        let node = try TestNode { conversation in
            while true {
                let head = try conversation.read(until: "\r\n\r\n")
                #expect(head.contains("100-continue"))
                try conversation.send(
                    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n")
                _ = try conversation.read(count: 100_000)
                try conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        }
        try with(node) { worker in
            let client = try Conversation(port: worker.port)
            for _ in 0..<3 {
                try client.send(
                    "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n"
                        + "Expect: 100-continue\r\n\r\n")
                #expect(try client.read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 100"))
                #expect(try client.read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 103"))
                try client.send([UInt8](repeating: 1, count: 100_000))
                #expect(try client.response().body == "ok")
            }
        }
    }

    @Test("Who uploads more than the node wants gets the node's answer, and harms nobody")
    func earlyAnswer() throws {
        let node = try TestNode { conversation in
            let head = try conversation.read(until: "\r\n\r\n")
            let status = head.hasPrefix("GET") ? "200 OK" : "413 Content Too Large"
            try conversation.send("HTTP/1.1 \(status)\r\nContent-Length: 2\r\n\r\nok")
        }
        try with(node) { worker in
            let uploader = try Conversation(port: worker.port)
            try uploader.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000000\r\n\r\n")
            let (head, _) = try uploader.response()
            #expect(head.hasPrefix("HTTP/1.1 413"))
            #expect(head.contains("Connection: close"))
            // It has not read that yet, and goes on for a while.
            let upload = try Thread("upload") {
                _ = uploader.sendWhileTaken(200_000_000, quiet: 1000)
            }
            let other = try Conversation(port: worker.port)
            for _ in 0..<50 {
                try other.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                #expect(try other.response().body == "ok")
            }
            upload.join()
        }
    }

    @Test("A node's last word on an upload arrives though it resets the connection after it")
    func answerThenReset() throws {
        let node = try TestNode { conversation in
            _ = try conversation.read(count: 200_000)
            try conversation.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
            // More than that lies unread, so that closing resets.
        }
        try with(node) { worker in
            for _ in 0..<20 {
                let client = try Conversation(port: worker.port)
                try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n")
                _ = client.sendWhileTaken(900_000, quiet: 1000)
                #expect(try client.response().head.hasPrefix("HTTP/1.1 413"))
            }
        }
    }

    @Test("A line end too much after a last request does not cost the end of its answer")
    func extraLineEnd() throws {
        let asked = try Wakeup()
        let told = try Wakeup()
        let count = 3_000_000
        let node = try TestNode { conversation in
            _ = try conversation.read(until: "abc")
            asked.signal()
            var wait = pollfd(fd: told.fd, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&wait, 1, 10_000)
            told.clear()
            try conversation.send("HTTP/1.1 200 OK\r\nContent-Length: \(count)\r\n\r\n")
            try conversation.send([UInt8](repeating: 0x61, count: count))
        }
        try with(node) { worker in
            for _ in 0..<10 {
                let client = try Conversation(port: worker.port)
                try client.send("POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc")
                var wait = pollfd(fd: asked.fd, events: Int16(POLLIN), revents: 0)
                #expect(unsafe poll(&wait, 1, 10_000) == 1)
                asked.clear()
                // As browsers of old did after a POST.
                try client.send("\r\n")
                told.signal()
                #expect(try client.response().body.utf8.count == count)
            }
        }
        asked.close()
        told.close()
    }

    @Test("A body that stops making sense is told so, after an interim response too")
    func malformedChunk() throws {
        let node = try TestNode { conversation in
            _ = try conversation.read(until: "\r\n\r\n")
            try conversation.send("HTTP/1.1 100 Continue\r\n\r\n")
            #expect(try !conversation.readAll().contains("0\r\n\r\n"))
        }
        try with(node) { worker in
            let client = try Conversation(port: worker.port)
            try client.send(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                    + "Expect: 100-continue\r\n\r\n")
            _ = try client.read(until: "\r\n\r\n")
            try client.send("5\r\nhello\r\nnonsense\r\n")
            #expect(try client.response().head.hasPrefix("HTTP/1.1 400"))
            #expect(try client.readAll() == "")
        }
    }

    @Test("A node that sends interim responses without end does not hold up its worker")
    func interimFlood() throws {
        let node = try TestNode { conversation in
            while true {
                let head = try conversation.read(until: "\r\n\r\n")
                if head.hasPrefix("GET /flood") {
                    let some = String(repeating: "HTTP/1.1 102 Processing\r\n\r\n", count: 1000)
                    while true { try conversation.send(some) }
                }
                try conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
        }
        try with(node) { worker in
            let flooded = try Conversation(port: worker.port)
            // Nothing of the flood goes to an HTTP/1.0 client, so nothing stops it.
            try flooded.send("GET /flood HTTP/1.0\r\n\r\n")
            let other = try Conversation(port: worker.port)
            for _ in 0..<50 {
                try other.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                #expect(try other.response().body == "ok")
            }
            flooded.resetOnClose()
        }
    }

    @Test("A node that takes no more of an upload is blamed for it, not the client")
    func stuckNode() throws {
        let isOver = try Wakeup()
        let node = try TestNode { conversation in
            _ = try conversation.read(until: "\r\n\r\n")
            var wait = pollfd(fd: isOver.fd, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&wait, 1, 10_000)
        }
        var times = WorkerFixture.Times()
        // Much longer than the quiet below, on a busy machine too: after it the rest is thrown away.
        times.exchangeIdle = 3_000_000_000
        try with(node, times: times) { worker in
            let client = try Conversation(port: worker.port)
            try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000000\r\n\r\n")
            let sent = client.sendWhileTaken(900_000_000, quiet: 200)
            #expect(sent < 100_000_000, "back-pressure holds")
            #expect(try client.response().head.hasPrefix("HTTP/1.1 504"))
            isOver.signal()
        }
    }

    @Test("A client that reads nothing holds up the node, not memory; then it gets every byte")
    func slowReader() throws {
        let total = 60_000_000
        let held = try Wakeup()
        let node = try TestNode { conversation in
            _ = try conversation.read(until: "\r\n\r\n")
            try conversation.send("HTTP/1.1 200 OK\r\nContent-Length: \(total)\r\n\r\n")
            let first = conversation.sendWhileTaken(total, quiet: 300)
            #expect(first < total)
            held.signal()
            try conversation.send([UInt8](repeating: 0x61, count: total - first))
        }
        try with(node) { worker in
            let client = try Conversation(port: worker.port)
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            var wait = pollfd(fd: held.fd, events: Int16(POLLIN), revents: 0)
            #expect(unsafe poll(&wait, 1, 10_000) == 1)
            _ = try client.read(until: "\r\n\r\n")
            for _ in 0..<60 { #expect(try client.read(count: 1_000_000).count == 1_000_000) }
        }
        held.close()
    }

    @Test(
        "A client that goes away in the middle takes its exchange with it",
        arguments: [true, false])
    func goesAway(_ uploads: Bool) throws {
        let ended = try Wakeup()
        let node = try TestNode { conversation in
            _ = try conversation.read(until: "\r\n\r\n")
            if uploads {
                _ = try? conversation.readAll()
            } else {
                try conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\n\r\n")
                _ = conversation.sendWhileTaken(900_000_000, quiet: 10_000)
            }
            ended.signal()
        }
        try with(node) { worker in
            do {
                let client = try Conversation(port: worker.port)
                try client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 800000\r\n\r\n")
                try client.send([UInt8](repeating: 1, count: 700_000))
                if !uploads { _ = try client.read(count: 1000) }
            }
            var wait = pollfd(fd: ended.fd, events: Int16(POLLIN), revents: 0)
            #expect(unsafe poll(&wait, 1, 10_000) == 1)
        }
        ended.close()
    }
}
