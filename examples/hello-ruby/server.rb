# A small web app: greets, and reports how its process and a child of it are confined.
require 'bundler/setup'
require 'greeting'
require 'json'
require 'webrick'

def confinement(status)
  fields = status.lines.to_h { |line| line.split(':', 2) }
  %w[Uid Seccomp NoNewPrivs CapEff].to_h { |name| [name, fields.fetch(name).split.first] }
end

$stdout.sync = true
server = WEBrick::HTTPServer.new(
  BindAddress: '0.0.0.0', Port: Integer(ENV.fetch('PORT', '8080')),
  Logger: WEBrick::Log.new($stderr, WEBrick::Log::WARN), AccessLog: [[$stdout, WEBrick::AccessLog::COMMON_LOG_FORMAT]]
)
server.mount_proc('/') do |request, response|
  response.status = 404 unless request.path == '/'
  response.content_type = 'application/json'
  response.body = JSON.generate(Greeting.for(Integer(ENV.fetch('CF_INSTANCE_INDEX', '0'))))
end
server.mount_proc('/confinement') do |_request, response|
  child = IO.popen(['cat', '/proc/self/status'], &:read)
  system('unshare', '--user', 'true', err: File::NULL)
  response.content_type = 'application/json'
  response.body = JSON.generate(
    own: confinement(File.read('/proc/self/status')), child: confinement(child),
    unshare: $?.exitstatus, memory_limit: ENV['MEMORY_LIMIT']
  )
end
%w[INT TERM].each { |name| trap(name) { server.shutdown } }
puts "hello-ruby listens on port #{server.config[:Port]}"
server.start
