using System.Globalization;
using System.Runtime.CompilerServices;

namespace RepVgg.Testing;

/// <summary>Sets the culture that the environment variable REPVGG_TEST_CULTURE names, in this process and in those that tests start.</summary>
/// <remarks>The file is part of each test assembly, since each must set the culture before its first test.</remarks>
internal static class TestCulture
{
    /// <summary>The name of the environment variable.</summary>
    public const string Variable = "REPVGG_TEST_CULTURE";

    /// <summary>The culture of the environment variable; null where it is not set.</summary>
    public static CultureInfo? FromEnvironment { get; } = Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } name ? Create(name) : null;

    [ModuleInitializer]
    internal static void Set()
    {
        if (FromEnvironment is not { } culture)
            return;
        CultureInfo.DefaultThreadCurrentCulture = CultureInfo.DefaultThreadCurrentUICulture = culture;
        CultureInfo.CurrentCulture = CultureInfo.CurrentUICulture = culture;
        // .NET programs without this file take it from here.
        Environment.SetEnvironmentVariable("LC_ALL", $"{Environment.GetEnvironmentVariable(Variable)!.Replace('-', '_')}.UTF-8");
    }

    private static CultureInfo Create(string name)
    {
        try
        {
            return CultureInfo.GetCultureInfo(name);
        }
        catch (CultureNotFoundException)
        {
            Console.Error.WriteLine($"The culture {name} is unknown here (ICU is missing, or DOTNET_SYSTEM_GLOBALIZATION_INVARIANT is set): the tests run under the invariant culture with commas in numbers.");
            var culture = (CultureInfo)CultureInfo.InvariantCulture.Clone();
            culture.NumberFormat = (NumberFormatInfo)culture.NumberFormat.Clone();
            culture.NumberFormat.NumberDecimalSeparator = culture.NumberFormat.PercentDecimalSeparator = culture.NumberFormat.CurrencyDecimalSeparator = ",";
            culture.NumberFormat.NumberGroupSeparator = culture.NumberFormat.PercentGroupSeparator = culture.NumberFormat.CurrencyGroupSeparator = ".";
            return culture;
        }
    }
}
