# Says what is wrong where the Gemfile asks for another Ruby than this one.
require 'bundler'

wanted = Bundler::Dsl.evaluate(ARGV[0], nil, {}).ruby_version
exit 0 if wanted.nil?
requirement = Gem::Requirement.new(wanted.versions)
exit 0 if requirement.satisfied_by?(Gem::Version.new(RUBY_VERSION))
puts "the Gemfile asks for Ruby #{wanted.versions.join(', ')}, but this buildpack has Ruby #{RUBY_VERSION}: " \
     "ruby '~> #{RUBY_VERSION.split('.').first(2).join('.')}.0' takes it"
exit 1
