namespace RepVgg.Samples.CommandLine;

/// <summary>One option of a command: <c>--name VALUE</c>.</summary>
/// <param name="Name">Name of the option, without dashes.</param>
/// <param name="Value">Name of the value in the help text.</param>
/// <param name="Help">Description of the option, one line.</param>
internal sealed record OptionSpec(string Name, string Value, string Help);

/// <summary>A command of the program, with its operands and options.</summary>
/// <param name="Name">Name of the command on the command line.</param>
/// <param name="Summary">Description of the command, one line.</param>
/// <param name="Options">The options of the command.</param>
/// <param name="Run">Runs the command and returns the exit code. It defers signals while it writes files.</param>
internal sealed record CommandSpec(string Name, string Summary, IReadOnlyList<OptionSpec> Options, Func<Arguments, Interrupt, int> Run)
{
    /// <summary>Names of the operands (words without dashes), in order. All operands are required.</summary>
    public IReadOnlyList<string> Operands { get; init; } = [];

    /// <summary>Parses the operands and the options, which are <c>--name VALUE</c> or <c>--name=VALUE</c>.</summary>
    /// <exception cref="UsageException">An option is unknown, repeated or has no value, or there are too many or too few operands.</exception>
    public Arguments Parse(IReadOnlyList<string> words)
    {
        var values = new Dictionary<string, string>(StringComparer.Ordinal);
        var operands = new List<string>();
        for (int i = 0; i < words.Count; i++)
        {
            if (!words[i].StartsWith("--", StringComparison.Ordinal))
            {
                if (operands.Count == Operands.Count)
                    throw new UsageException($"'{words[i]}' is not an option of {Name}.");
                operands.Add(words[i].Length > 0 ? words[i] : throw new UsageException($"{Operands[operands.Count]} is empty."));
                continue;
            }
            int equals = words[i].IndexOf('=', StringComparison.Ordinal);
            string name = equals < 0 ? words[i][2..] : words[i][2..equals];
            var option = Options.FirstOrDefault(o => o.Name == name)
                ?? throw new UsageException($"{Name} has no option '--{name}'. It has: {string.Join(", ", Options.Select(o => "--" + o.Name))}.");
            if (equals < 0 && i + 1 >= words.Count)
                throw new UsageException($"--{name} needs a value: --{name} {option.Value}.");
            if (!values.TryAdd(name, equals < 0 ? words[++i] : words[i][(equals + 1)..]))
                throw new UsageException($"--{name} is given twice.");
        }
        return operands.Count == Operands.Count
            ? new Arguments(values, operands)
            : throw new UsageException($"{Operands[operands.Count]} is missing: {Name} {string.Join(' ', Operands)}.");
    }
}
