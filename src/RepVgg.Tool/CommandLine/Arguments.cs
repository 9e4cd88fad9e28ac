using System.CommandLine;
using System.Globalization;

namespace RepVgg.Tool.CommandLine;

/// <summary>The parsed command line, with methods that read options as text, numbers or one of several words.</summary>
internal sealed class Arguments(ParseResult result)
{
    /// <summary>Gets an operand (a word without dashes) by its index.</summary>
    public string Operand(int index) => OptionalOperand(index) ?? throw new UsageException($"{result.CommandResult.Command.Arguments[index].Name} is missing.");

    /// <summary>Gets an operand by its index; null if it is missing.</summary>
    public string? OptionalOperand(int index) => result.GetValue((Argument<string>)result.CommandResult.Command.Arguments[index]);

    /// <summary>Gets the words of an operand of which there may be several.</summary>
    public IReadOnlyList<string> Operands(int index) => result.GetValue((Argument<string[]>)result.CommandResult.Command.Arguments[index]) ?? [];

    /// <summary>Whether an option without a value is given.</summary>
    public bool Flag(string name) => result.GetValue<bool>("--" + name);

    /// <summary>Gets the value of an option; null if it is missing.</summary>
    public string? Text(string name) => result.GetValue<string>("--" + name) switch
    {
        null => null,
        "" => throw new UsageException($"--{name} is empty."),
        var text => text,
    };

    public string Required(string name) => Text(name) ?? throw new UsageException($"--{name} is missing.");

    /// <summary>Gets the values of an option of which there may be several; one at least must be given.</summary>
    public IReadOnlyList<string> RequiredTexts(string name) => result.GetValue<string[]>("--" + name) switch
    {
        null or [] => throw new UsageException($"--{name} is missing."),
        var texts when texts.Contains("") => throw new UsageException($"--{name} is empty."),
        var texts => texts,
    };

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

    /// <summary>Gets the value of an option that must be one of the given words. If the option is missing, returns the first word, which can be empty for a default without a name.</summary>
    public T Choice<T>(string name, params ReadOnlySpan<(string Word, T Value)> choices)
    {
        string text = Text(name) ?? choices[0].Word;
        var words = new List<string>();
        foreach (var (word, value) in choices)
        {
            if (word == text)
                return value;
            if (word.Length > 0)
                words.Add(word);
        }
        throw new UsageException($"--{name} is '{text}'; it must be one of: {string.Join(", ", words)}.");
    }

    /// <summary>Gets the value of an option as a list of words, separated by commas. None is empty, and no two differ only in case.</summary>
    public IReadOnlyList<string>? Words(string name)
    {
        if (Text(name) is not { } text)
            return null;
        string[] words = text.Split(',', StringSplitOptions.TrimEntries);
        if (words.Any(word => word.Length == 0))
            throw new UsageException($"--{name} is '{text}'; it must be words that are separated by commas.");
        if (words.GroupBy(word => word, StringComparer.OrdinalIgnoreCase).FirstOrDefault(group => group.Count() > 1) is { } repeated)
            throw new UsageException($"--{name} contains '{repeated.Key}' twice.");
        return words;
    }

    /// <summary>Gets the value of an option as a list of different whole numbers of 0 or more, separated by commas.</summary>
    public IReadOnlyList<int>? Integers(string name)
    {
        if (Words(name) is not { } words)
            return null;
        var numbers = new List<int>();
        foreach (string word in words)
        {
            if (!int.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out int number))
                throw new UsageException($"--{name} contains '{word}'; it must be whole numbers of 0 or more that are separated by commas.");
            if (numbers.Contains(number))
                throw new UsageException(string.Create(CultureInfo.InvariantCulture, $"--{name} contains {number} twice."));
            numbers.Add(number);
        }
        return numbers;
    }

    /// <summary>Gets the value of an option as a list of numbers, separated by commas.</summary>
    public float[]? Numbers(string name)
    {
        if (Text(name) is not { } text)
            return null;
        string[] parts = text.Split(',');
        var numbers = new float[parts.Length];
        for (int i = 0; i < parts.Length; i++)
        {
            if (!float.TryParse(parts[i], NumberStyles.Float, CultureInfo.InvariantCulture, out numbers[i]) || !float.IsFinite(numbers[i]))
                throw new UsageException($"--{name} is '{text}'; it must be numbers that are separated by commas.");
        }
        return numbers;
    }
}

/// <summary>The exception for an invalid command line; the exit code is 2.</summary>
internal sealed class UsageException(string message) : Exception(message);
