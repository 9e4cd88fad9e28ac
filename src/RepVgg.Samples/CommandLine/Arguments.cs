using System.Globalization;

namespace RepVgg.Samples.CommandLine;

/// <summary>The options that were given, read as what they should be.</summary>
internal sealed class Arguments(IReadOnlyDictionary<string, string> values)
{
    public string? Text(string name) => values.GetValueOrDefault(name) switch
    {
        null => null,
        "" => throw new UsageException($"--{name} is empty."),
        var text => text,
    };

    public string Required(string name) => Text(name) ?? throw new UsageException($"--{name} is missing.");

    public int? Integer(string name, int minimum)
    {
        if (Text(name) is not { } text)
            return null;
        if (!int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value) || value < minimum)
            throw new UsageException($"--{name} is '{text}'; it must be a whole number of {minimum} or more.");
        return value;
    }

    public float? Positive(string name)
    {
        if (Text(name) is not { } text)
            return null;
        if (!float.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out float value) || !(value > 0) || !float.IsFinite(value))
            throw new UsageException($"--{name} is '{text}'; it must be a number above 0.");
        return value;
    }

    /// <summary>One of some words; the first where none is given.</summary>
    public T Choice<T>(string name, params ReadOnlySpan<(string Word, T Value)> choices)
    {
        string text = Text(name) ?? choices[0].Word;
        var words = new List<string>();
        foreach (var (word, value) in choices)
        {
            if (word == text)
                return value;
            words.Add(word);
        }
        throw new UsageException($"--{name} is '{text}'; it must be one of: {string.Join(", ", words)}.");
    }
}
