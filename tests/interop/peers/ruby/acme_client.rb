# Enrols, renews and revokes with the gem acme-client, as programs in Ruby do.

require "acme-client"
require "socket"

DIRECTORY, ROOT, NAME, LISTEN = ENV.values_at("ACME_DIRECTORY", "ACME_ROOT", "ACME_NAME", "ACME_LISTEN")
answers = {}

def serve(answers)
  host, port = LISTEN.split(":")
  server = TCPServer.new(host, port.to_i)
  Thread.new do
    loop do
      connection = server.accept
      path = connection.gets.to_s.split(" ")[1]
      body = answers[path]
      status = body ? "200 OK" : "404 Not Found"
      connection.write("HTTP/1.1 #{status}\r\ncontent-length: #{body.to_s.bytesize}\r\nconnection: close\r\n\r\n#{body}")
      connection.close
    end
  end
end

def wait(what)
  deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 60
  while %w[pending processing].include?(what.status)
    raise "still #{what.status}" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline

    sleep 0.2
    what.reload
  end
end

# The gem's own CertificateRequest writes version 2, which no PKCS#10 request has; this one has 0.
def request
  key = OpenSSL::PKey::EC.generate("prime256v1")
  names = OpenSSL::X509::ExtensionFactory.new.create_extension("subjectAltName", "DNS:#{NAME}")
  wanted = OpenSSL::ASN1::Set([OpenSSL::ASN1::Sequence([names])])
  csr = OpenSSL::X509::Request.new
  csr.version = 0
  csr.public_key = key
  csr.add_attribute(OpenSSL::X509::Attribute.new("extReq", wanted))
  csr.sign(key, OpenSSL::Digest.new("SHA256"))
end

def obtain(client, answers, file)
  order = client.new_order(identifiers: [NAME])
  order.authorizations.each do |authorization|
    next if authorization.status == "valid"

    challenge = authorization.http
    answers["/#{challenge.filename}"] = challenge.file_content
    challenge.request_validation
    wait(challenge)
    raise challenge.error.to_s unless challenge.status == "valid"
  end
  order.finalize(csr: request)
  wait(order)
  order.certificate.tap { |chain| File.write(file, chain) }
end

serve(answers)
client = Acme::Client.new(
  private_key: OpenSSL::PKey::RSA.new(2048), directory: DIRECTORY, connection_options: { ssl: { ca_file: ROOT } }
)
client.new_account(contact: "mailto:ops@internal.example", terms_of_service_agreed: true)
obtain(client, answers, "first.pem")
second = obtain(client, answers, "second.pem")
client.revoke(certificate: second, reason: 4) if ARGV.include?("revoke")
