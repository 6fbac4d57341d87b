// One probe against one node of whatever manners: the answer as the check sees it, words for every
// failure, and an end within its time.

import Balance
import Base
import CTrivet
import Net
import Proxy
import Testing

@Suite struct ProbeExchangeTests {
    @Test func theRequestIsWhatTheCheckAskedForAndEndsTheConnection() throws {
        let question = Script.Question(
            method: "POST", target: "/ping?x=1", payload: "{}",
            headers: [("X-Key", "secret"), ("user-agent", "mine")])
        let reply = try Probing.reply("request", question: question) { connection in
            let request = connection.read(until: "{}")
            connection.send(TinyServer.response(200, request))
        }
        #expect(
            reply.body
                == "POST /ping?x=1 HTTP/1.1\r\nHost: node1.test:80\r\nAccept: */*\r\n"
                + "X-Key: secret\r\nuser-agent: mine\r\nContent-Length: 2\r\n"
                + "Connection: close\r\n\r\n{}")
    }

    @Test func anAnswerInChunksAfterAnInterimOneIsReadWhole() throws {
        let reply = try Probing.reply("chunks") { connection in
            let request = connection.read()
            #expect(request.contains("\r\nUser-Agent: trivet\r\n"))
            connection.send("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 418 I'm a ")
            connection.send("teapot\r\nTransfer-Encoding: chunked\r\nOctopus-Node: One\r\n\r\n4\r")
            connection.send("\n{\"a\"\r\n3;x=y\r\n:1}\r\n0\r\nTrailer: t\r\n\r\n")
        }
        #expect(reply.outcome == TRIVET_OK && reply.status == 418)
        #expect(reply.body == "{\"a\":1}")
        #expect(reply.headers == ["transfer-encoding: chunked", "octopus-node: One"])
        #expect(reply.totalNs >= reply.connectNs && reply.connectNs > 0)
    }

    @Test func aSilentNodeTimesOut() throws {
        let reply = try Probing.reply("silent", timeoutMs: 100) { $0.read() }
        #expect(reply.outcome == TRIVET_TIMED_OUT && reply.status == 0)
        #expect(reply.detail == "no answer within 100 ms")
    }

    @Test func aDrippingNodeTimesOutAlthoughItNeverPauses() throws {
        let reply = try Probing.reply("dripping", timeoutMs: 300) { connection in
            connection.send("HTTP/1.1 200 OK\r\nX: ")
            while connection.send("x"), connection.dawdle(milliseconds: 10) {}
        }
        #expect(reply.outcome == TRIVET_TIMED_OUT)
        #expect(reply.detail == "no complete answer within 300 ms")
        #expect(reply.totalNs < 3_000_000_000)
    }

    @Test func anEndlessBodyIsReadUpToTheLimitAndLeft() throws {
        let question = Script.Question(readLimit: 1000)
        let much = String(repeating: "y", count: 100_000)
        for (name, head) in [
            ("endless1", "HTTP/1.1 200 OK\r\n\r\n"),
            ("endless2", "HTTP/1.1 200 OK\r\nContent-Length: 9000000000000000000\r\n\r\n"),
        ] {
            let reply = try Probing.reply(name, question: question) { connection in
                connection.send(head)
                while connection.send(much) {}
            }
            #expect(reply.outcome == TRIVET_OK && reply.status == 200)
            #expect(reply.body.utf8.count == 1000)
        }
    }

    @Test func endlessChunksAndInterimAnswersAreLeftToo() throws {
        let question = Script.Question(readLimit: 1000)
        let chunked = try Probing.reply("endless3", question: question) { connection in
            connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while connection.send("a\r\n0123456789\r\n") {}
        }
        #expect(chunked.outcome == TRIVET_OK && chunked.body.utf8.count == 1000)
        let interim = try Probing.reply("endless4") { connection in
            while connection.send("HTTP/1.1 102 Processing\r\n\r\n") {}
        }
        #expect(interim.outcome == TRIVET_BROKEN)
        #expect(interim.detail == "answers with 1xx only")
    }

    @Test func aHugeHeadAndGarbageAreVerdictsToo() throws {
        let huge = try Probing.reply("hugehead") { connection in
            connection.send("HTTP/1.1 200 OK\r\nX: ")
            while connection.send(String(repeating: "z", count: 10_000)) {}
        }
        #expect(huge.outcome == TRIVET_BROKEN)
        #expect(huge.detail == "answers with a response head longer than is accepted")
        let garbage = try Probing.reply("garbage") { $0.send("\u{0}\u{1}SSH-2.0\r\n\r\n") }
        #expect(garbage.outcome == TRIVET_BROKEN)
        #expect(
            garbage.detail
                == "answers with a response that does not start with HTTP/1.0 or HTTP/1.1")
    }

    @Test func aConnectionThatBreaksOffIsSaidToHave() throws {
        for (name, text, detail) in [
            ("cut1", "", "the connection was closed without an answer"),
            ("cut2", "HTTP/1.1 20", "the connection was closed in the middle of the head"),
            (
                "cut3", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
                "the connection was closed in the middle of the body"
            ),
        ] {
            let reply = try Probing.reply(name) { connection in
                connection.read()
                connection.send(text)
                Socket.endSending(connection.fd)
            }
            #expect(reply.outcome == TRIVET_BROKEN)
            #expect(reply.detail == detail)
        }
    }

    @Test func anotherPortIsAskedWhenTheCheckNamesOne() throws {
        let server = try TinyServer.answering(TinyServer.response(200))
        defer { server.end() }
        let port = server.port
        var script = Script()
        script.ask = { _, _ in Script.Question(port: port) }
        let probing = try Probing(
            "port", nodes: [[try TinyServer.deadAddress()]], interval: 60_000, script: script)
        _ = try probing.firstReplies()
        #expect(probing.states() == [.up])
    }

    @Test func aProbeOverTLSIsNotSentInTheClear() throws {
        let server = try TinyServer.answering(TinyServer.response(200))
        defer { server.end() }
        var script = Script()
        script.ask = { _, _ in Script.Question(flags: TRIVET_PROBE_TLS) }
        let probing = try Probing(
            "tls", nodes: [[server.address]], interval: 60_000, timeoutMs: 200, script: script)
        let detail = try #require(try probing.firstReplies().first?.detail)
        #expect(detail == "no TLS was agreed on within 200 ms")
    }

    @Test func aTCPProbeMayOnlyConnect() throws {
        let question = Script.Question(isTCP: true, readLimit: 0)
        let reply = try Probing.reply("tcpconnect", question: question) { _ in }
        #expect(reply.outcome == TRIVET_OK && reply.status == 0 && reply.body == "")
    }

    @Test func aTCPProbeReadsUntilTheWordsItWaitsFor() throws {
        let question = Script.Question(isTCP: true, payload: "PING\r\n", readUntil: "+PONG")
        let reply = try Probing.reply("tcpwords", question: question) { connection in
            connection.read(until: "PING\r\n")
            connection.send("hello +P")
            _ = connection.dawdle(milliseconds: 20)
            connection.send("ONG and more")
        }
        #expect(reply.outcome == TRIVET_OK)
        #expect(reply.body.hasPrefix("hello +PONG"))
    }

    @Test func aTCPPeerThatPausesHasSaidAll() throws {
        let question = Script.Question(isTCP: true)
        let reply = try Probing.reply("tcppause", question: question) { connection in
            connection.send("220 ready\r\n")
        }
        #expect(reply.outcome == TRIVET_OK && reply.body == "220 ready\r\n")
        #expect(reply.totalNs < 4_000_000_000)
    }

    @Test func aTCPPeerThatSaysSomethingElseTimesOutWithItsWords() throws {
        let question = Script.Question(isTCP: true, readUntil: "+PONG")
        let reply = try Probing.reply("tcpother", timeoutMs: 150, question: question) {
            connection in
            connection.send("-ERR")
        }
        #expect(reply.outcome == TRIVET_TIMED_OUT && reply.body == "-ERR")
    }
}
