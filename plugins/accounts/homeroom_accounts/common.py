"""What people choose first, gathered by ourselves: phrases, and rows along which fingers run.

`homeroom_accounts.rules` also finds them doubled, in leet and with digits and signs hung on, so each stands here once.
"""

from __future__ import annotations

_ROWS = ("abcdefghijklmnopqrstuvwxyza", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "azertyuiop")
_COLUMNS = ("1qaz", "2wsx", "3edc", "4rfv", "5tgb", "6yhn", "7ujm", "8ik", "9ol", "qaz", "wsx", "edc", "rfv", "tgb")

ROWS = tuple(row for way in (_ROWS, _COLUMNS) for line in way for row in (line, line[::-1]))

_WORDS = """
password passwort passwd passphrase secret secrets letmein welcome login signin logon admin administrator root user
guest default changeme change test tester testing demo sample temp temporary access master manager server system
computer internet google facebook instagram youtube netflix tiktok discord minecraft roblox fortnite pokemon pikachu
nintendo playstation xbox samsung android iphone apple microsoft windows linux amazon
monkey dragon tiger lion bear wolf eagle falcon phoenix unicorn dolphin shark penguin panda kitten kitty puppy doggy
butterfly ladybug dinosaur elephant giraffe turtle rabbit bunny chicken horse pony mustang jaguar panther cougar
bulldog wildcat wildcats bulldogs eagles tigers lions bears panthers cougars hornets knights spartans trojans warriors
vikings raiders pirates rams hawks falcons cardinals mustangs wolverines huskies titans rebels patriots
football baseball basketball soccer hockey tennis volleyball softball wrestling swimming cheerleader gymnastics
lakers cowboys yankees steelers packers broncos liverpool arsenal chelsea barcelona realmadrid manchester juventus
spring summer autumn winter january february march april may june july august september october november december
monday tuesday wednesday thursday friday saturday sunday birthday christmas halloween easter thanksgiving holiday
red orange yellow green blue purple pink black white silver golden rainbow sunshine sunflower flower roses daisy
star stars starlight moonlight sunset ocean river mountain forest thunder lightning storm snowflake
princess prince queen king angel angels baby babygirl babyboy lover loveyou iloveyou iloveyouso iloveme loveme
beautiful pretty gorgeous sweetie sweetheart honey cookie cupcake chocolate cheese pizza banana strawberry cherry
peanut butter coffee pepper ginger sugar candy cinnamon
michael jennifer jessica ashley daniel matthew joshua andrew christopher nicole amanda samantha elizabeth taylor
jordan justin brandon anthony william robert thomas charlie george maggie buddy bailey shadow lucky rocky buster
superman batman spiderman ironman wonderwoman captain avengers starwars skywalker harrypotter hogwarts gandalf frodo
matrix ninja samurai zombie vampire wizard warrior hunter ranger soldier killer freedom liberty america american
trustno trustnoone whatever nothing something anything everything whoknows idontknow idontcare donttouch dontforget
hello hellothere hithere goodbye goodmorning goodnight thankyou please sorry openup opensesame abracadabra
school myschool highschool middleschool elementary preschool kindergarten university college student students teacher
teachers principal classroom homeroom attendance homework teaching education learning library reading mathematics
science history biology chemistry algebra geometry english spanish music band orchestra choir theater
district county office staff faculty substitute counselor nurse parent parents mother father mom dad family guardian
grandma grandpa sister brother children mykids mychildren mydaughter myson
jesus jesuschrist god godisgood godislove blessed church heaven faith grace hope amen bible
newyork newyorkcity losangeles chicago houston philadelphia boston dallas miami seattle denver florida california
texas ohio georgia virginia london paris berlin madrid roma mexico canada australia
"""

_PHRASES = """
correct horse battery staple; this is my password; my password is password; my password is secret; the password is;
password is password; i forgot my password; i hate passwords; new password; old password; change my password;
please let me in; let me in now; let me in please; open the door; welcome to school; welcome back; welcome home;
i love my school; i love school; i hate school; i love my mom; i love my dad; i love my family; i love my kids;
i love my dog; i love my cat; i love you so much; i love you forever; i love jesus; i love football; i love soccer;
back to school; first day of school; teacher of the year; world's best teacher; worlds best teacher; number one teacher;
to be or not to be; once upon a time; happy birthday to you; merry christmas; happy new year; trick or treat;
may the force be with you; live long and prosper; winter is coming; all your base are belong to us; hello world;
the quick brown fox; twinkle twinkle little star; mary had a little lamb; row row row your boat; in god we trust;
god bless america; we the people; e pluribus unum; four score and seven years ago; i have a dream; yes we can;
just do it; keep calm and carry on; never gonna give you up; let it go; hakuna matata; to infinity and beyond;
do not share; do not touch; top secret; super secret; super secret password; very secret password; keep it secret;
long password; a very long password; this is a long password; fifteen characters; at least fifteen characters;
administrator password; admin password; root password; teacher password; student password; school password;
test password; temporary password; default password; secure password; strong password; safe password; good password
"""

PHRASES = frozenset(_WORDS.split()) | {"".join(phrase.split()) for phrase in _PHRASES.split(";")}
"""Words and phrases in folded case, without spaces."""
