using System.Reflection;
using Xunit;

namespace RepVgg.Testing;

/// <summary>Rules for an assembly and for the project that tests it. Each test project derives from this class.</summary>
/// <param name="tested">The name of the assembly that the project tests.</param>
public abstract class AssemblyRules(string tested)
{
    [Fact]
    public void Namespaces_do_not_depend_on_each_other_in_cycles()
    {
        var cycles = NamespaceCycles.Find(Assembly.Load(tested).GetTypes());
        Assert.True(cycles.Count == 0, $"In {tested}, namespaces depend on each other:\n{NamespaceCycles.Describe(cycles)}");
    }

    [Fact]
    public void Tests_are_named_as_sentences_with_underscores()
    {
        var methods = GetType().Assembly.GetTypes().Where(type => !type.IsAbstract)
            .SelectMany(type => type.GetMethods(BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static))
            .Where(method => method.IsDefined(typeof(FactAttribute)));
        Assert.All(methods, method => Assert.True(IsSentence(method.Name), $"{method.DeclaringType!.Name}.{method.Name}"));
    }

    [Fact]
    public void Numbers_become_text_in_the_same_way_in_every_culture()
    {
        string[] found = [.. Assembly.Load(tested).GetTypes().SelectMany(TypeUses.Methods).SelectMany(method => CultureUses.Of(method).Select(use => $"{method.DeclaringType}.{method.Name}: {use}"))];
        Assert.True(found.Length == 0, $"In {tested}, these depend on the culture; use FormattableString.Invariant or CultureInfo.InvariantCulture:\n{string.Join('\n', found)}");
    }

    /// <summary>Whether a name is one word, or words with underscores between them.</summary>
    internal static bool IsSentence(string name) => char.IsUpper(name[0]) && (name.Contains('_') || !name.Skip(1).Any(char.IsUpper));
}
