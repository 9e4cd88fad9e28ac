namespace RepVgg.Samples.CommandLine;

/// <summary>One option of a command: <c>--name VALUE</c>.</summary>
/// <param name="Name">Without the dashes.</param>
/// <param name="Value">What the value is called in the help.</param>
/// <param name="Help">One line.</param>
internal sealed record OptionSpec(string Name, string Value, string Help);

/// <summary>One command and what it accepts.</summary>
/// <param name="Name">What the user types.</param>
/// <param name="Summary">One line.</param>
/// <param name="Options">Its options.</param>
/// <param name="Run">Runs it; returns the exit code.</param>
internal sealed record CommandSpec(string Name, string Summary, IReadOnlyList<OptionSpec> Options, Func<Arguments, int> Run)
{
    /// <summary>What the words without dashes are called, in their order; all are needed.</summary>
    public IReadOnlyList<string> Operands { get; init; } = [];

    /// <summary>Reads the operands, <c>--name VALUE</c> and <c>--name=VALUE</c>.</summary>
    /// <exception cref="UsageException">An unknown or repeated option, one without its value, or an operand too many or too few.</exception>
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
