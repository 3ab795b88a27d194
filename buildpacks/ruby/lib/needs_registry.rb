# Ends with 0 where a gem of the lock file has to be fetched, and with 1 where all of them are here.
require 'bundler'

lock = Bundler::LockfileParser.new(File.read(ARGV[0]))
missing = lock.specs.reject do |spec|
  spec.source.is_a?(Bundler::Source::Path) || Gem::Specification.any? { |have| have.name == spec.name && have.version == spec.version }
end
exit(missing.empty? ? 1 : 0)
