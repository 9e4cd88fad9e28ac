using System.CommandLine;
using System.Globalization;
using System.Text.RegularExpressions;
using RepVgg.Architectures;
using RepVgg.Runtime;
using RepVgg.Runtime.Threading;

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

    /// <summary>Gets the number of threads; 0 for all cores.</summary>
    public int Threads => Integer(OptionSpec.Threads.Name, 0, ThreadCount.Maximum) ?? 0;

    /// <summary>Gets the height and width of the images in pixels; null if they are not given.</summary>
    public int? ImageSize
    {
        get
        {
            int? size = Integer("image-size", 1);
            if (size is { } pixels)
                Accept("--image-size", () => ArchitectureValidation.CheckImageSize(pixels, pixels));
            return size;
        }
    }

    /// <summary>Runs code of the library with an option or operand. If the library refuses it, the command line is wrong.</summary>
    /// <param name="name">Name of the option, with dashes, or of the operand.</param>
    /// <param name="work">The code.</param>
    /// <exception cref="UsageException">The code throws an <see cref="ArgumentException"/>.</exception>
    public static T Accept<T>(string name, Func<T> work)
    {
        try
        {
            return work();
        }
        catch (ArgumentException error)
        {
            throw new UsageException($"{name}: {MessageText.Reason(error)}.");
        }
    }

    /// <summary>Runs code of the library, as <see cref="Accept{T}"/>.</summary>
    public static void Accept(string name, Action work) => Accept(name, () =>
    {
        work();
        return 0;
    });

    /// <summary>Whether a message names an option that is on the command line.</summary>
    public bool AreNamedIn(string message) => result.CommandResult.Command.Options.Any(option => IsGiven(option) && Regex.IsMatch(message, $@"{option.Name}(?![\w-])"));

    /// <summary>Whether an option is on the command line.</summary>
    public bool IsGiven(string name) => IsGiven(result.CommandResult.Command.Options.Single(option => option.Name == "--" + name));

    /// <summary>Whether an option without a value is given.</summary>
    public bool Flag(string name) => result.GetValue<bool>("--" + name);

    /// <summary>Gets the value of an option; null if it is missing.</summary>
    public string? Text(string name) => result.GetValue<string>("--" + name) switch
    {
        null => null,
        var text when string.IsNullOrWhiteSpace(text) => throw new UsageException($"--{name} is empty."),
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

    public int? Integer(string name, int minimum, int maximum = int.MaxValue)
    {
        if (Text(name) is not { } text)
            return null;
        if (!int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value) || value < minimum || value > maximum)
            throw new UsageException(Invariant($"--{name} is '{text}'; it must be a whole number {(maximum < int.MaxValue ? Invariant($"from {minimum} to {maximum}") : Invariant($"of {minimum} or more"))}."));
        return value;
    }

    /// <summary>Gets the value of an option as a number of 0 or more and less than a limit.</summary>
    public float? Number(string name, float limit = float.PositiveInfinity)
    {
        if (Text(name) is not { } text)
            return null;
        if (!float.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out float value) || !(value >= 0 && value < limit))
            throw new UsageException(Invariant($"--{name} is '{text}'; it must be a number of 0 or more{(float.IsFinite(limit) ? Invariant($" and less than {limit}") : "")}."));
        return value;
    }

    /// <summary>Gets the value of an option as a finite number above 0, and at most a maximum.</summary>
    public float? Positive(string name, float maximum = float.MaxValue)
    {
        if (Text(name) is not { } text)
            return null;
        if (!float.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out float value) || !(value > 0 && value <= maximum))
            throw new UsageException(Invariant($"--{name} is '{text}'; it must be a number above 0{(maximum < float.MaxValue ? Invariant($" and at most {maximum}") : "")}."));
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
                throw new UsageException(Invariant($"--{name} contains {number} twice."));
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

    private bool IsGiven(Option option) => result.GetResult(option) is { Implicit: false };
}

/// <summary>The exception for an invalid command line; the exit code is 2.</summary>
internal sealed class UsageException(string message) : Exception(message);
