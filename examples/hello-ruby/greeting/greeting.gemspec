Gem::Specification.new do |spec|
  spec.name = 'greeting'
  spec.version = '1.0.0'
  spec.summary = 'What hello-ruby says'
  spec.authors = ['Cupola']
  spec.files = ['lib/greeting.rb']
end
