using System.Globalization;
using RepVgg.Architectures;

namespace RepVgg.Benchmarks;

/// <summary>Options of the form <c>--name value</c>.</summary>
internal sealed class CommandLine
{
    private readonly Dictionary<string, string> _options = new(StringComparer.Ordinal);

    public CommandLine(ReadOnlySpan<string> arguments)
    {
        for (int i = 0; i < arguments.Length; i += 2)
        {
            if (!arguments[i].StartsWith("--", StringComparison.Ordinal) || i + 1 == arguments.Length)
                throw new ArgumentException($"'{arguments[i]}' is not an option with a value.");
            _options[arguments[i][2..]] = arguments[i + 1];
        }
    }

    public string? Text(string name) => _options.GetValueOrDefault(name);

    public string Text(string name, string otherwise) => _options.GetValueOrDefault(name, otherwise);

    public int Number(string name, int otherwise)
    {
        if (!_options.TryGetValue(name, out string? text))
            return otherwise;
        return int.TryParse(text, NumberStyles.Integer, CultureInfo.InvariantCulture, out int value) && value >= 0
            ? value
            : throw new ArgumentException($"--{name} needs a number, not '{text}'.");
    }

    /// <summary>A training form; null where the option is not given.</summary>
    public TrainingForm? TrainingForm(string name)
    {
        if (!_options.TryGetValue(name, out string? text))
            return null;
        return Enum.TryParse<TrainingForm>(text, ignoreCase: true, out var form) && Enum.IsDefined(form)
            ? form
            : throw new ArgumentException($"There is no training form '{text}': use one of {string.Join(", ", Enum.GetNames<TrainingForm>())}.");
    }
}
